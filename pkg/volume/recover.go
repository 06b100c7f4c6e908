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
	klog.FromContext(ctx).Info("Recovered", "volumes", len(m.volumes))
	return errors.Join(errs...)
}

func (m *Manager) adopt(id string, document []byte) error {
	v, err := m.restore(document)
	if err != nil {
		return errors.Join(err, m.Records.Delete(id))
	}
	published, err := m.Disk.Published(v.spec.Place)
	if err != nil || !published {
		v.release()
		return errors.Join(err, m.Records.Delete(id))
	}
	m.register(v)
	m.mu.Lock()
	defer m.mu.Unlock()
	// A crash may have come between a renewal and its files, or have left
	// superseded ones.
	m.ask(v, taskCheck|taskRender|taskSweep)
	return nil
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
	for _, s := range survivors {
		if !s.PodGone {
			continue
		}
		first, again := m.orphans[s.Target]
		if !again {
			first = now
		}
		if now.Sub(first) < orphanTwice {
			seen[s.Target] = first
			continue
		}
		if err := m.removeOrphan(ctx, s); err != nil {
			seen[s.Target] = first
			klog.FromContext(ctx).Error(err, "Removing an orphaned volume failed; trying again later", "target", s.Target)
		}
	}
	m.orphans = seen
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
