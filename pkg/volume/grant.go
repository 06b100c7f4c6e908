package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// grant is a volume's use of one connector. The volume's work lock guards it.
type grant struct {
	use       *Use                  // in the volume's attributes
	connector *connector.Connector  // the generation in force; nil = adopted, and not resolved yet
	lease     *credentials.Lease    // nil when withdrawn
	withdrawn string                // why the entries are emptied
	cut       cutOff                // what was withdrawn
	hosts     []string              // that the last credential served
	deniedAt  time.Time             // of the first explicit denial in a row
	delivered string                // id of the credential that the files show
	rendered  *connector.Credential // that the files rendered last hold
	lostAt    time.Time             // when a restart found its credential lost
	cancel    context.CancelFunc    // of the acquisition on its way; nil = none
	next      *connector.Connector  // the generation that it is for
	epoch     int                   // counts withdrawals: what was on its way then is not wanted
	problem   string                // why the next generation is not followed
	trust     []issuers.Trust       // of the registries, as resolved last
	warned    []string              // findings that were told already
}

// cutOff names the credential that a withdrawn pod knows. It is recorded, so that
// a driver that was killed before it was revoked, or replaced for the others,
// sees to it after its restart.
type cutOff struct {
	Lease      string `json:"lease,omitempty"` // key of the shared credential
	Credential string `json:"credential,omitempty"`
}

// lost reports whether nobody knows the credential that the files show: it
// went with the runtime directory.
func (g *grant) lost() bool { return g.lease == nil && g.withdrawn == "" }

// denialTwice is how far apart two denials must be: one may be a gap in a
// rollout of roles.
const denialTwice = 30 * time.Second

// lostGrace is how long files stay whose credential is lost, while another one
// cannot be had.
const lostGrace = 10 * time.Minute

// admit resolves a connector and checks the owner's consent and the user's
// permission.
func (m *Manager) admit(ctx context.Context, subject connector.Subject, use Use) (*connector.Connector, error) {
	c, err := m.consented(subject, use)
	if err != nil {
		return nil, err
	}
	if err := m.authorized(ctx, subject, use.Ref); err != nil {
		if errors.Is(err, connector.ErrDenied) {
			return nil, connector.Errorf(connector.ErrDenied, "connector %s: ServiceAccount %s is not permitted to use it: grant it verb use on %s.regcred.dev", use.Ref, subject, resource(use.Ref))
		}
		return nil, fmt.Errorf("connector %s: asking whether ServiceAccount %s may use it: %w", use.Ref, subject, err)
	}
	return c, nil
}

func resource(ref connector.Ref) string {
	if ref.Cluster() {
		return "clusterconnectors"
	}
	return "connectors"
}

// consented resolves a connector that its owner lets the subject use. Whether
// a foreign one exists is not told to who may not use it.
func (m *Manager) consented(subject connector.Subject, use Use) (*connector.Connector, error) {
	c, err := m.Connectors.Connector(use.Ref)
	own := !use.Ref.Cluster() && use.Ref.Namespace == subject.Namespace
	if err == nil && m.consents(c, subject) {
		return c, nil
	}
	switch {
	case !own:
		return nil, connector.Errorf(connector.ErrDenied, "connector %s does not exist or its spec.access does not admit ServiceAccount %s", use.Ref, subject)
	case err == nil:
		return nil, connector.Errorf(connector.ErrDenied, "connector %s: its spec.access does not admit ServiceAccount %s", use.Ref, subject)
	case errors.Is(err, connector.ErrNotFound):
		return nil, connector.Errorf(connector.ErrNotFound, "connector %s does not exist in the pod's namespace: create it or correct the volume attribute connectors", use.Ref)
	default:
		return nil, fmt.Errorf("connector %s: %w", use.Ref, err)
	}
}

// consents asks for labels where the Connector says who may use it.
func (m *Manager) consents(c *connector.Connector, subject connector.Subject) bool {
	var labels map[string]string
	if c.Access != nil {
		labels = m.Connectors.NamespaceLabels(subject.Namespace)
	}
	return c.Consents(subject, labels)
}

// authorized asks the Authorizer where permission is required.
func (m *Manager) authorized(ctx context.Context, subject connector.Subject, ref connector.Ref) error {
	if !m.needsPermission(subject, ref) {
		return nil
	}
	err := m.Authorizer.Authorize(ctx, subject, ref)
	result := "allowed"
	switch {
	case errors.Is(err, connector.ErrDenied):
		result = "denied"
	case err != nil:
		result = "error"
		err = connector.Errorf(connector.ErrUnavailable, "%w", err)
	}
	m.Metrics.Authorizations.WithLabelValues(result).Inc()
	return err
}

// needsPermission reports whether the Authorizer has to be asked.
func (m *Manager) needsPermission(subject connector.Subject, ref connector.Ref) bool {
	return m.RequireUsePermission || ref.Cluster() || ref.Namespace != subject.Namespace
}

// wish is what a use asks of its connector.
func wish(v *volume, c *connector.Connector, use Use) (credentials.Request, error) {
	scope, err := c.Scope.Narrow(use.Want)
	if err != nil {
		return credentials.Request{}, fmt.Errorf("connector %s: %w", use.Ref, err)
	}
	return credentials.Request{
		Holder: v.spec.Place.ID, Connector: c, Identity: v.identity.Load(), Scope: scope,
		TTL: v.spec.Attributes.TTL, MinimumLife: v.spec.Attributes.MinimumLife,
	}, nil
}

// lease acquires the credential of a use.
func (m *Manager) lease(ctx context.Context, v *volume, c *connector.Connector, use Use) (*credentials.Lease, error) {
	req, err := wish(v, c, use)
	if err != nil {
		return nil, err
	}
	lease, err := m.Leases.Acquire(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("connector %s: obtaining a credential for ServiceAccount %s: %w", use.Ref, v.spec.Subject, err)
	}
	return lease, nil
}

// recheck evaluates every grant again and reports whether the content differs.
func (m *Manager) recheck(ctx context.Context, v *volume) (changed bool) {
	for _, g := range v.grants {
		changed = m.recheckGrant(ctx, v, g) || changed
	}
	return changed
}

func (m *Manager) recheckGrant(ctx context.Context, v *volume, g *grant) (changed bool) {
	c, err := m.Connectors.Connector(g.use.Ref)
	switch {
	case errors.Is(err, connector.ErrNotFound):
		if g.lease != nil {
			g.lease.Retire()
		} else if g.lost() {
			m.report(v, fmt.Errorf("connector %s: %w", g.use.Ref, err))
		}
		return false
	case err != nil:
		return false // the last valid generation stays in force
	case !m.consents(c, v.spec.Subject):
		return m.withdraw(ctx, v, g, "the Connector's spec.access no longer admits the pod")
	}
	switch err := m.authorized(ctx, v.identity.Load().subject, g.use.Ref); {
	case errors.Is(err, connector.ErrDenied):
		return m.denied(ctx, v, g)
	case err != nil: // nobody could tell: the last verdict stands
		return false
	}
	g.deniedAt = time.Time{}
	if g.lease != nil && g.lease.Identity() == v.identity.Load() && g.connector.UID == c.UID && g.connector.Generation == c.Generation {
		g.lease.Revive(c)
		g.connector, g.problem = c, "" // one copy of it for all volumes, also after a restart
		return false
	}
	if m.asksTheSame(v, g, c) {
		return true // it may be renewed at another time
	}
	m.follow(ctx, v, g, c)
	return false // the lease tells when it has come
}

// asksTheSame takes over a generation that concerns neither the credential nor
// the registries: that is known without asking anybody.
func (m *Manager) asksTheSame(v *volume, g *grant, c *connector.Connector) bool {
	if g.lease == nil || g.cancel != nil {
		return false
	}
	req, err := wish(v, c, *g.use)
	if err != nil {
		return false
	}
	lease := m.Leases.AtHand(req)
	switch {
	case lease == nil:
		return false
	case lease.Key() != g.lease.Key():
		lease.Release()
		return false
	}
	g.lease, g.connector, g.problem = lease, c, ""
	return true
}

// denied ends a grant at the second denial, half a minute after the first.
func (m *Manager) denied(ctx context.Context, v *volume, g *grant) (changed bool) {
	now := time.Now().Round(0)
	if g.deniedAt.IsZero() {
		g.deniedAt = now
	}
	if now.Sub(g.deniedAt) >= denialTwice {
		return m.withdraw(ctx, v, g, "the ServiceAccount is no longer permitted to use the Connector")
	}
	m.mu.Lock()
	v.checkNoLaterThan(g.deniedAt.Add(denialTwice))
	m.mu.Unlock()
	return false
}

func (m *Manager) withdraw(ctx context.Context, v *volume, g *grant, why string) (changed bool) {
	if g.withdrawn != "" {
		return false
	}
	if g.lease != nil {
		state := g.lease.State()
		g.hosts, g.cut = state.Hosts, cutOff{}
		if state.Credential != nil {
			g.cut = cutOff{g.lease.Key(), state.Credential.ID}
		}
		g.lease.Withdraw()
	}
	g.lease, g.withdrawn = nil, why
	g.epoch++
	if g.cancel != nil {
		g.cancel()
	}
	if err := m.save(v); err != nil {
		m.report(v, err)
	}
	klog.FromContext(ctx).Info("Grant withdrawn", "connector", g.use.Ref, "reason", why)
	m.Events.Event(v.spec.Subject, true, "GrantWithdrawn", "connector "+g.use.Ref.String()+": "+why+"; its entries are emptied")
	return true
}

// mostComing bounds the acquisitions for published volumes that are under way.
const mostComing = 32

// follow acquires the credential of a new generation of the Connector, or of a
// grant that was given back. It asks a provider, so it goes on by itself: no
// worker and no unpublish waits for it.
func (m *Manager) follow(ctx context.Context, v *volume, g *grant, c *connector.Connector) {
	if g.cancel != nil {
		return // it looks again when it has come
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return
	}
	if len(m.coming) >= mostComing {
		v.checkNoLaterThan(time.Now().Round(0).Add(time.Second))
		return
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTime)
	g.cancel, g.next = cancel, c
	m.coming[g] = cancel
	epoch := g.epoch
	m.running.Go(func() {
		defer cancel()
		lease, err := m.takeOver(detached, v, g, c)
		m.arrive(detached, v, g, epoch, lease, err)
	})
}

// takeOver acquires the credential of a generation, for which other tokens may
// be needed than before. What it could not show for want of a CA would keep
// the other connectors of the volume from being shown too.
func (m *Manager) takeOver(ctx context.Context, v *volume, g *grant, c *connector.Connector) (*credentials.Lease, error) {
	if _, err := issuers.ResolveTrust(ctx, objectsOf{m.Objects, c.ObjectNamespace}, c.Registries); err != nil {
		return nil, fmt.Errorf("connector %s: %w", g.use.Ref, err)
	}
	v.work.Lock()
	err := m.wantTokens(v)
	if v.gone.Load() {
		err = connector.ErrAborted
	}
	v.work.Unlock()
	if err != nil {
		return nil, err
	}
	return m.lease(ctx, v, c, *g.use)
}

// arrive puts an acquired lease in force. When it could not be had, the former
// one stays; but what the owner no longer allows goes.
func (m *Manager) arrive(ctx context.Context, v *volume, g *grant, epoch int, lease *credentials.Lease, err error) {
	v.work.Lock()
	defer v.work.Unlock()
	c := g.next
	g.cancel, g.next = nil, nil
	m.mu.Lock()
	delete(m.coming, g)
	stopped := m.stopped
	m.mu.Unlock()
	if err == nil && g.withdrawn != "" { // given back? only on a clear yes
		_, err = m.admit(ctx, v.spec.Subject, *g.use)
	}
	switch {
	case stopped || v.gone.Load() || g.epoch != epoch:
		if lease != nil {
			lease.Release()
		}
	case errors.Is(err, connector.ErrDenied):
		if lease != nil {
			lease.Withdraw()
		}
		if m.withdraw(ctx, v, g, err.Error()) {
			m.askFor(v, taskCheck|taskRender)
		}
	case err != nil:
		if lease != nil {
			lease.Release()
		}
		g.problem = err.Error()
		m.report(v, err)
	default:
		m.install(v, g, c, lease)
	}
}

// install replaces the lease of a grant.
func (m *Manager) install(v *volume, g *grant, c *connector.Connector, lease *credentials.Lease) {
	if g.lease != nil && g.lease.Key() != lease.Key() {
		g.lease.Release()
	}
	g.lease, g.connector, g.withdrawn, g.cut, g.trust, g.problem = lease, c, "", cutOff{}, nil, ""
	if err := m.save(v); err != nil {
		m.report(v, err)
	}
	m.askFor(v, taskCheck|taskRender)
}

// askFor is ask for those who do not hold the lock.
func (m *Manager) askFor(v *volume, t task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ask(v, t)
}

// behind says what beside the files is not up to date, and why: the record, or
// a newer generation of a Connector that is not followed.
func (v *volume) behind() string {
	if v.unsaved != "" {
		return v.unsaved
	}
	for _, g := range v.grants {
		if g.problem != "" {
			return g.problem
		}
	}
	return ""
}

// report notes that a volume could not be brought up to date and plans
// another try.
func (m *Manager) report(v *volume, err error) {
	m.mu.Lock()
	news := m.note(v, err.Error())
	v.retryNoLaterThan(time.Now().Round(0).Add(min(retryAfter<<min(v.retries, 8), retryMost)))
	v.retries++
	m.plan(v)
	m.nudge()
	m.mu.Unlock()
	if news {
		m.Events.Event(v.spec.Subject, true, "UpdateFailed", err.Error()+"; the last good content stays")
	}
}
