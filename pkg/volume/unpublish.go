package volume

import (
	"context"
	"fmt"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Unpublish takes a volume away: leases, files, mount, directory and record.
// What is gone already counts as done, and nothing here asks a provider, a
// Connector or the API server.
func (m *Manager) Unpublish(ctx context.Context, id, target string) error {
	if err := m.cancel(ctx, id); err != nil {
		return err
	}
	unlock := m.locks.lock(id)
	defer unlock()
	m.mu.Lock()
	v := m.volumes[id]
	m.mu.Unlock()
	if v == nil {
		return m.remove(ctx, &volume{spec: Spec{Place: Place{ID: id, Target: target}}})
	}
	if v.spec.Place.Target != target {
		return connector.Errorf(connector.ErrPrecondition, "volume %s is published at %s, not at %s", id, v.spec.Place.Target, target)
	}
	return m.end(ctx, v)
}

// end takes a known volume away. The caller holds the lock of its id.
func (m *Manager) end(ctx context.Context, v *volume) error {
	v.work.Lock()
	defer v.work.Unlock()
	v.gone.Store(true) // no worker writes to it from here on
	v.release()
	if err := m.remove(ctx, v); err != nil {
		return err
	}
	m.unregister(v)
	return nil
}

// cancel ends a running publish of the volume and waits for it.
func (m *Manager) cancel(ctx context.Context, id string) error {
	m.mu.Lock()
	a := m.attempts[id]
	m.mu.Unlock()
	if a == nil {
		return nil
	}
	a.cancel()
	select {
	case <-a.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the publish to end: %w", ctx.Err())
	}
}

// remove takes mount, directory and record away.
func (m *Manager) remove(ctx context.Context, v *volume) error {
	busy, err := m.Disk.Remove(v.spec.Place)
	if busy {
		m.Metrics.UnmountBusy.Inc()
	}
	if err != nil {
		return fmt.Errorf("removing the volume: %w", err)
	}
	if err := m.Records.Delete(v.spec.Place.ID); err != nil {
		return fmt.Errorf("removing the volume's record: %w", err)
	}
	if v.identity.Load() != nil {
		m.logger(ctx, v).Info("Volume unpublished", "busy", busy)
	}
	return nil
}

// Stats returns usage and condition of a volume at a path, or wherever it is
// when the path is empty. The error wraps connector.ErrNotFound.
func (m *Manager) Stats(_ context.Context, id, path string) (Stats, error) {
	m.mu.Lock()
	v := m.volumes[id]
	var problem string
	if v != nil {
		problem = v.problem
	}
	m.mu.Unlock()
	if v == nil || (path != "" && v.spec.Place.Target != path) {
		return Stats{}, connector.Errorf(connector.ErrNotFound, "volume %s is not published at %s", id, path)
	}
	published, err := m.Disk.Published(v.spec.Place)
	if err != nil {
		return Stats{}, err
	}
	if !published {
		return Stats{Abnormal: true, Message: "the mount is lost; the kubelet's next publish brings it back"}, nil
	}
	usage, err := m.Disk.Usage(v.spec.Place)
	if err != nil {
		return Stats{}, err
	}
	if problem != "" {
		return Stats{Usage: usage, Abnormal: true, Message: problem}, nil
	}
	return Stats{Usage: usage, Message: "credentials are current"}, nil
}

// Idle reports whether there is no volume.
func (m *Manager) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.volumes) == 0 && len(m.attempts) == 0
}
