package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/klog/v2"
)

const (
	// orphanTwice is how far apart a pod must be seen gone: the kubelet takes
	// its directory apart in steps.
	orphanTwice = time.Minute
	// orphansEvery is how often the node is searched for orphans.
	orphansEvery = 5 * time.Minute
)

// Recover adopts the volumes that an earlier process of this node published,
// in place and without any call. Call it after the leases are loaded and
// before the first request. Records without a mount are dropped: after a
// reboot, or when the pod went while no driver ran. The error joins what could
// not be read; everything else is adopted.
func (m *Manager) Recover(ctx context.Context) error {
	documents, err := m.Records.All()
	errs := []error{err}
	for id, document := range documents {
		if err := m.adopt(id, document); err != nil {
			errs = append(errs, fmt.Errorf("volume %s: %w", id, err))
		}
	}
	for _, v := range m.volumes {
		m.cutAgain(v)
	}
	klog.FromContext(ctx).Info("Recovered", "volumes", len(m.volumes))
	return errors.Join(errs...)
}

func (m *Manager) adopt(id string, document []byte) error {
	v, err := m.restore(document)
	if err != nil {
		return errors.Join(err, m.Records.Delete(id))
	}
	published, err := m.Disk.Published(v.spec.Place)
	switch {
	case err != nil: // nobody can tell: the record stays for the next start
		v.release()
		return err
	case !published:
		v.release()
		return m.Records.Delete(id)
	}
	err = m.wantTokens(v) // or the kubelet's tokens would be dropped
	m.takeIn(v)
	return err
}

// cutAgain withdraws what the last process withdrew and may not have seen
// through. It comes after every volume holds its leases again, for the others
// need a successor.
func (m *Manager) cutAgain(v *volume) {
	for _, g := range v.grants {
		if g.cut == (cutOff{}) {
			continue
		}
		lease, ok := m.Leases.Restore(g.cut.Lease, v.spec.Place.ID, v.identity.Load())
		if !ok {
			continue
		}
		if cred := lease.State().Credential; cred != nil && cred.ID == g.cut.Credential {
			lease.Withdraw()
		} else {
			lease.Release()
		}
	}
}

// takeIn registers a volume that is at its target. A crash may have come
// between a renewal and its files, or have left superseded ones, which pods may
// be reading.
func (m *Manager) takeIn(v *volume) {
	m.register(v)
	m.mu.Lock()
	defer m.mu.Unlock()
	v.sweepNoLaterThan(time.Now().Round(0).Add(sweepAfter))
	m.ask(v, taskCheck|taskRender)
}

// adoptUnknown makes a volume known whose record is lost: what the pod reads
// stays while its credentials are acquired anew.
func (m *Manager) adoptUnknown(ctx context.Context, spec Spec) *volume {
	unlock := m.locks.lock(spec.Place.ID)
	defer unlock()
	m.mu.Lock()
	known := m.volumes[spec.Place.ID]
	m.mu.Unlock()
	if known != nil {
		return known
	}
	v := m.newVolume(spec)
	v.adopted = true
	for _, g := range v.grants {
		g.lostAt = time.Now().Round(0)
		if c, err := m.Connectors.Connector(g.use.Ref); err == nil {
			g.connector = c
		}
	}
	ctx = klog.NewContext(ctx, m.logger(ctx, v))
	if err := errors.Join(m.wantTokens(v), m.save(v)); err != nil {
		klog.FromContext(ctx).Error(err, "Adopting a volume whose record is lost; trying again later")
	}
	m.takeIn(v)
	klog.FromContext(ctx).Info("Volume adopted without its record", "connectors", refs(v))
	return v
}

// watchOrphans removes volumes whose pod went without an unpublish.
func (m *Manager) watchOrphans(ctx context.Context) {
	m.searchOrphans(ctx)
	timer := time.NewTimer(orphanTwice + time.Second)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			m.searchOrphans(ctx)
			timer.Reset(orphansEvery)
		}
	}
}

// searchOrphans removes what it saw orphaned twice.
func (m *Manager) searchOrphans(ctx context.Context) {
	survivors, err := m.Disk.Survey()
	if err != nil {
		klog.FromContext(ctx).Error(err, "Searching for orphaned volumes failed; trying again later")
		return
	}
	now := time.Now().Round(0)
	seen := map[string]time.Time{}
	twice := func(target string, remove func() error) {
		first, again := m.orphans[target]
		if !again {
			first = now
		}
		if now.Sub(first) < orphanTwice {
			seen[target] = first
			return
		}
		if err := remove(); err != nil {
			seen[target] = first
			klog.FromContext(ctx).Error(err, "Removing an orphaned volume failed; trying again later", "target", target)
		}
	}
	for _, s := range survivors {
		if s.PodGone {
			twice(s.Target, func() error { return m.removeOrphan(ctx, s) })
		}
	}
	for _, v := range m.unmounted(survivors) {
		twice(v.spec.Place.Target, func() error { return m.endUnmounted(ctx, v) })
	}
	m.orphans = seen
}

// unmounted lists the volumes whose mount is gone. The kubelet publishes those
// of living pods again within a minute or two.
func (m *Manager) unmounted(mounted []Survivor) (gone []*volume) {
	targets := map[string]bool{}
	for _, s := range mounted {
		targets[s.Target] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, v := range m.volumes {
		if target := v.spec.Place.Target; !targets[target] && m.attempts[id] == nil {
			gone = append(gone, v)
		}
	}
	return gone
}

// endUnmounted ends a volume whose mount is gone, unless the kubelet has
// published it again meanwhile, or is about to.
func (m *Manager) endUnmounted(ctx context.Context, v *volume) error {
	place := v.spec.Place
	unlock := m.locks.lock(place.ID)
	defer unlock()
	m.mu.Lock()
	current := m.volumes[place.ID] == v && m.attempts[place.ID] == nil
	m.mu.Unlock()
	if published, err := m.Disk.Published(place); !current || published || err != nil {
		return err
	}
	if err := m.end(ctx, v); err != nil {
		return err
	}
	m.Metrics.Orphans.Inc()
	return nil
}

func (m *Manager) removeOrphan(ctx context.Context, s Survivor) error {
	id := ""
	m.mu.Lock()
	for known, v := range m.volumes {
		if v.spec.Place.Target == s.Target {
			id = known
		}
	}
	m.mu.Unlock()
	var err error
	if id != "" {
		err = m.Unpublish(ctx, id, s.Target)
	} else {
		_, err = m.Disk.RemoveOrphan(s.Target)
	}
	if err != nil {
		return err
	}
	m.Metrics.Orphans.Inc()
	klog.FromContext(ctx).Info("Orphaned volume removed", "volumeID", id, "target", s.Target)
	return nil
}
