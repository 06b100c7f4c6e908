package volume

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// attempt is a publish under way. It outlives the call that began it, so that
// a retry finds it running instead of beginning again.
type attempt struct {
	spec   Spec
	ctx    context.Context //nolint:containedctx // the attempt's own, which is no call's
	cancel context.CancelFunc
	began  time.Time
	unlock func()
	done   chan struct{}
	err    error // valid after done
}

// Publish makes the volume appear, complete, at its target. On a published
// volume it only takes fresh tokens over: no error, no write, no mount. A
// volume that lost its mount is published again.
func (m *Manager) Publish(ctx context.Context, spec Spec) error {
	if v := m.known(ctx, spec); v != nil {
		if !sameRequest(v.spec, spec) {
			return connector.Errorf(connector.ErrConflict, "volume %s is published at %s with other attributes", spec.Place.ID, v.spec.Place.Target)
		}
		published, err := m.Disk.Published(spec.Place)
		if err != nil {
			klog.FromContext(ctx).Error(err, "Looking at a published volume failed; it stays as it is", "volumeID", spec.Place.ID)
		}
		if published || err != nil {
			m.refresh(v, spec)
			return nil //nolint:nilerr // a republish never fails: the kubelet would take a running pod's volume away
		}
	}
	a, joined, err := m.join(ctx, spec)
	if err != nil {
		return err
	}
	if !joined {
		m.begin(a)
	}
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fmt.Errorf("publishing goes on; the next try joins it: %w", ctx.Err())
	}
}

// known returns a published volume, unless it is being published or taken away.
// One that is at its target although nobody knows it, because its record is
// lost, becomes known.
func (m *Manager) known(ctx context.Context, spec Spec) *volume {
	m.mu.Lock()
	v, busy := m.volumes[spec.Place.ID], m.attempts[spec.Place.ID] != nil
	m.mu.Unlock()
	switch {
	case busy:
		return nil
	case v != nil && !v.gone.Load():
		return v
	case v != nil:
		return nil
	}
	if published, err := m.Disk.Published(spec.Place); err != nil || !published {
		return nil
	}
	return m.adoptUnknown(ctx, spec)
}

// sameRequest compares what must not change while a volume lives.
func sameRequest(a, b Spec) bool {
	return a.Place == b.Place && a.Subject.Namespace == b.Subject.Namespace && a.Subject.PodUID == b.Subject.PodUID &&
		a.Subject.ServiceAccount == b.Subject.ServiceAccount && reflect.DeepEqual(a.Attributes, b.Attributes)
}

// refresh takes over the tokens of a republish.
func (m *Manager) refresh(v *volume, spec Spec) {
	current := v.identity.Load()
	if next := current.successor(spec.Subject); next != nil {
		next.refresh(spec.Tokens)
		v.identity.Store(next)
		m.askFor(v, taskCheck) // each grant needs a credential of its own
		return
	}
	if !current.refresh(spec.Tokens) {
		return
	}
	if !v.work.TryLock() { // a worker is at it
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ask(v, taskTokens)
		return
	}
	defer v.work.Unlock()
	v.tokensCame()
}

// tokensCame tells renewals that wait for fresh tokens. The caller holds the
// work lock.
func (v *volume) tokensCame() {
	for _, g := range v.grants {
		if g.lease != nil {
			g.lease.IdentityRefreshed()
		}
	}
}

// join returns the attempt for this volume: one that runs, or a new one that
// the caller has to begin.
func (m *Manager) join(ctx context.Context, spec Spec) (a *attempt, joined bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.attempts[spec.Place.ID]; a != nil {
		if !sameRequest(a.spec, spec) {
			return nil, false, connector.Errorf(connector.ErrConflict, "volume %s is being published with another target or other attributes", spec.Place.ID)
		}
		return a, true, nil
	}
	if m.stopped {
		return nil, false, connector.Errorf(connector.ErrUnavailable, "the driver is stopping")
	}
	a = &attempt{spec: spec, done: make(chan struct{}), began: time.Now()}
	a.ctx, a.cancel = context.WithTimeout(context.WithoutCancel(ctx), attemptTime)
	m.attempts[spec.Place.ID] = a
	m.running.Add(1)
	return a, false, nil
}

// begin runs an attempt: at once where everything is at hand, as for most
// pods. Else somebody has to be waited for, who may take long, and it goes on
// without its caller.
func (m *Manager) begin(a *attempt) {
	unlock, free := m.locks.tryLock(a.spec.Place.ID)
	if !free {
		go func() {
			a.unlock = m.locks.lock(a.spec.Place.ID)
			m.try(a)
		}()
		return
	}
	a.unlock = unlock
	m.mu.Lock()
	former := m.volumes[a.spec.Place.ID]
	m.mu.Unlock()
	if former == nil {
		v := m.newVolume(a.spec)
		if m.grantAtHand(v, a.spec.Tokens) {
			m.finish(a, m.publish(klog.NewContext(a.ctx, m.logger(a.ctx, v)), v))
			return
		}
	}
	go m.try(a)
}

// try runs an attempt, waiting for whoever is needed.
func (m *Manager) try(a *attempt) {
	v := m.newVolume(a.spec)
	ctx := klog.NewContext(a.ctx, m.logger(a.ctx, v))
	err := m.lose(ctx, a.spec.Place.ID)
	if err == nil {
		if err = m.grantAll(ctx, v, a.spec.Tokens); err == nil {
			err = m.publish(ctx, v)
		} else {
			m.forget(v)
		}
	}
	m.finish(a, err)
}

// finish tells whoever waits for an attempt how it ended.
func (m *Manager) finish(a *attempt, err error) {
	defer m.running.Done()
	defer a.cancel()
	a.err = err
	a.unlock()
	result := "success"
	if err != nil {
		result = "error"
	}
	m.Metrics.PublishDuration.WithLabelValues(result).Observe(time.Since(a.began).Seconds())
	m.mu.Lock()
	delete(m.attempts, a.spec.Place.ID)
	m.mu.Unlock()
	close(a.done)
}

// publish shows a volume whose grants have their leases. It is all or nothing:
// after an error there is no lease, record, mount or directory.
func (m *Manager) publish(ctx context.Context, v *volume) (err error) {
	spec := &v.spec
	defer func() {
		if err != nil {
			m.forget(v)
		}
	}()
	v.work.Lock()
	defer v.work.Unlock()
	m.register(v) // from here on a changed lease or Connector is seen
	if err := m.unchanged(v); err != nil {
		return err
	}
	made, err := m.files(ctx, v)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("the publish was given up: %w", err)
	}
	if err := m.save(v); err != nil {
		return err
	}
	if err := m.Disk.Publish(spec.Place, made.files); err != nil {
		return fmt.Errorf("showing the files: %w", err)
	}
	v.shown = made.sum
	m.delivered(v)
	klog.FromContext(ctx).Info("Volume published", "serviceAccount", spec.Subject.ServiceAccount, "connectors", refs(v), "configurations", spec.Attributes.Configurations)
	return nil
}

func (m *Manager) newVolume(spec Spec) *volume {
	v := &volume{spec: m.compact(spec)}
	v.identity.Store(&identity{subject: v.spec.Subject})
	grants := make([]grant, len(v.spec.Attributes.Uses))
	for i := range grants {
		grants[i].use = &v.spec.Attributes.Uses[i]
		v.grants = append(v.grants, &grants[i])
	}
	return v
}

// grantAtHand is grantAll where nobody has to be asked or waited for. Where it
// gives up, there is no lease; why is for grantAll to tell.
func (m *Manager) grantAtHand(v *volume, tokens map[string]issuers.Token) (ok bool) {
	for _, g := range v.grants {
		if m.needsPermission(v.spec.Subject, g.use.Ref) {
			return false
		}
		c, err := m.consented(v.spec.Subject, *g.use)
		if err != nil {
			return false
		}
		g.connector = c
	}
	if m.wantTokens(v) != nil {
		return false
	}
	v.identity.Load().refresh(tokens)
	for _, g := range v.grants {
		req, err := wish(v, g.connector, *g.use)
		if err == nil {
			g.lease = m.Leases.AtHand(req)
		}
		if g.lease == nil {
			v.release()
			return false
		}
	}
	return true
}

// grantAll admits the pod to each connector first, so that a refusal costs no
// credential, and then acquires the leases side by side.
func (m *Manager) grantAll(ctx context.Context, v *volume, tokens map[string]issuers.Token) error {
	for _, g := range v.grants {
		c, err := m.admit(ctx, v.spec.Subject, *g.use)
		if err != nil {
			return err
		}
		g.connector = c
	}
	if err := m.wantTokens(v); err != nil {
		return err
	}
	v.identity.Load().refresh(tokens)
	if len(v.grants) == 1 {
		return m.grantOne(ctx, v, v.grants[0])
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, g := range v.grants {
		group.Go(func() error { return m.grantOne(ctx, v, g) })
	}
	return group.Wait()
}

// wantTokens has the volume keep the tokens that its issuers ask for, those of
// coming generations included, and no other.
func (m *Manager) wantTokens(v *volume) error {
	var audiences []string
	for _, g := range v.grants {
		for _, c := range []*connector.Connector{g.connector, g.next} {
			if c == nil {
				continue
			}
			asked, err := m.Leases.Audiences(c)
			if err != nil {
				return fmt.Errorf("connector %s: %w", g.use.Ref, err)
			}
			audiences = append(audiences, asked...)
		}
	}
	v.identity.Load().want(audiences)
	return nil
}

func (m *Manager) grantOne(ctx context.Context, v *volume, g *grant) (err error) {
	g.lease, err = m.lease(ctx, v, g.connector, *g.use)
	return err
}

// unchanged looks again at what may have changed while the credentials came:
// withdrawn consent ends the publish, a new generation is followed.
func (m *Manager) unchanged(v *volume) error {
	for _, g := range v.grants {
		c, err := m.consented(v.spec.Subject, *g.use)
		if err != nil {
			return err
		}
		if c.UID != g.connector.UID || c.Generation != g.connector.Generation {
			m.askFor(v, taskCheck)
		}
	}
	return nil
}

// lose drops a volume whose mount is gone, and ends one whose unpublish failed:
// its successor is published afresh.
func (m *Manager) lose(ctx context.Context, id string) error {
	m.mu.Lock()
	v := m.volumes[id]
	m.mu.Unlock()
	if v == nil {
		return nil
	}
	if v.gone.Load() {
		return m.end(ctx, v)
	}
	v.work.Lock()
	defer v.work.Unlock()
	m.unregister(v)
	v.release()
	return nil
}

// forget takes back what a failed publish did.
func (m *Manager) forget(v *volume) {
	v.work.Lock()
	defer v.work.Unlock()
	m.unregister(v)
	v.release()
	_ = m.Records.Delete(v.spec.Place.ID) // adoption finds no mount for it and drops it
}

func (m *Manager) register(v *volume) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.volumes[v.spec.Place.ID] = v
	v.checkAt = nextCheck(time.Now().Round(0))
	m.plan(v)
	m.Metrics.Volumes.Set(float64(len(m.volumes)))
}

// unregister ends a volume. The caller holds its work lock.
func (m *Manager) unregister(v *volume) {
	v.gone.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.volumes[v.spec.Place.ID] == v {
		delete(m.volumes, v.spec.Place.ID)
	}
	m.agenda.Set(v, time.Time{})
	m.Metrics.Volumes.Set(float64(len(m.volumes)))
}

// release gives every lease up, also those that are on their way.
func (v *volume) release() {
	for _, g := range v.grants {
		if g.cancel != nil {
			g.cancel()
		}
		if g.lease != nil {
			g.lease.Release()
			g.lease = nil
		}
	}
}

func refs(v *volume) []string {
	var all []string
	for _, g := range v.grants {
		all = append(all, g.use.Ref.String())
	}
	return all
}
