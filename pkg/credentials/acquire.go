package credentials

import (
	"context"
	"fmt"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Acquire gives the holder a lease on a credential with enough life left. It
// calls the issuer when there is none, once for all callers of a key; a caller
// that gives up leaves the call running for the next one. A recent failure is
// answered again without a call until its back-off has passed.
func (m *Manager) Acquire(ctx context.Context, req Request) (*Lease, error) {
	w, err := m.want(req)
	if err != nil {
		return nil, err
	}
	for wait := (pending{}); ; {
		if err := ctx.Err(); err != nil {
			if wait.shared != nil {
				m.leave(wait)
			}
			return nil, fmt.Errorf("waiting for issuer %s: %w", w.definition.Kind, err)
		}
		var lease *Lease
		lease, wait, err = m.claim(w, wait)
		if lease != nil || err != nil {
			return lease, err
		}
		select {
		case <-wait.flight.done:
		case <-ctx.Done():
			m.leave(wait)
			return nil, fmt.Errorf("waiting for issuer %s: %w", w.definition.Kind, ctx.Err())
		}
	}
}

// AtHand gives the lease that Acquire would give without waiting for anybody;
// nil when Acquire has to be asked, for a credential or for an error.
func (m *Manager) AtHand(req Request) *Lease {
	w, err := m.want(req)
	if err != nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.byKey[w.key]
	if !known {
		return nil
	}
	return m.take(s, req, time.Now().Round(0))
}

// wanted is a request that the Connector permits, with what serves it.
type wanted struct {
	Request
	issuer     issuers.Issuer
	definition issuers.Definition
	key        string
	subject    connector.Subject
}

func (m *Manager) want(req Request) (wanted, error) {
	issuer, def, err := m.issuerFor(req.Connector)
	if err != nil {
		return wanted{}, err
	}
	if err := permitted(req, issuer, def); err != nil {
		return wanted{}, err
	}
	key, subject, err := m.key(req, def, issuer)
	return wanted{Request: req, issuer: issuer, definition: def, key: key, subject: subject}, err
}

// place is where the credential will be that nobody asked for before.
func (w wanted) place() *shared {
	return &shared{
		key: w.key, connector: w.Connector, definition: w.definition, issuer: w.issuer, subject: w.subject,
		scope: w.Scope, ttl: w.TTL, holders: map[string]*Lease{},
	}
}

// Audiences returns the token audiences that a Connector's issuer asks for.
func (m *Manager) Audiences(c *connector.Connector) ([]string, error) {
	issuer, _, err := m.issuerFor(c)
	if err != nil {
		return nil, err
	}
	return issuer.Audiences(), nil
}

// permitted refuses, before any call, what the Connector does not allow.
func permitted(req Request, issuer issuers.Issuer, def issuers.Definition) error {
	c := req.Connector
	if l, ok := issuer.(issuers.LongLiver); ok && l.LongLived() && !def.Static && !c.AllowLongLived {
		return notAllowed("LongLivedNotAllowed", "issuer %s would deliver a credential without an end: set spec.allowLongLived: true on the Connector, or choose another output", def.Kind)
	}
	if c.ScopeEnforcement == connector.BestEffort {
		return nil
	}
	grain := connector.GrainIdentity
	if s, ok := issuer.(issuers.Scoper); ok {
		_, grain = s.Scope(req.Scope)
	}
	if !req.Scope.IsZero() && !connector.GrainIdentity.Coarser(grain) {
		return notAllowed("ScopeNotEnforceable", "issuer %s cannot limit a credential to repositories or actions: take scope and narrowing away, or set spec.scopeEnforcement: BestEffort on the Connector", def.Kind)
	}
	return minimumScopeMet(c, def.Kind, grain)
}

// notAllowed is a refusal of the Connector's owner: a volume that has such a
// credential already loses it.
func notAllowed(reason, format string, args ...any) error {
	err := issuers.Terminate(reason, format, args...)
	err.Err = connector.ErrDenied
	return err
}

func minimumScopeMet(c *connector.Connector, kind string, grain connector.Grain) error {
	if c.MinimumScope != "" && grain.Coarser(c.MinimumScope) && c.ScopeEnforcement != connector.BestEffort {
		return notAllowed("TooCoarse", "issuer %s limits credentials by %s, coarser than spec.minimumScope: %s", kind, grain, c.MinimumScope)
	}
	return nil
}

// pending is a flight that a caller of Acquire waits for; the caller counts as
// a waiter, so that nothing ends under it.
type pending struct {
	shared *shared
	flight *flight
}

// claim gives a lease, or the flight to wait for. waited is the flight that
// the caller has waited for, whose outcome then stands.
func (m *Manager) claim(w wanted, waited pending) (*Lease, pending, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	req := w.Request
	s, known := m.byKey[w.key]
	if !known {
		s = w.place()
		m.byKey[w.key] = s
	}
	asked := waited.shared == s && !waited.flight.ending
	if waited.shared != nil {
		waited.shared.waiters--
	}
	now := time.Now().Round(0)
	if lease := m.take(s, req, now); lease != nil {
		return lease, pending{}, nil
	}
	if s.flight == nil {
		if asked || (s.lastErr != nil && now.Before(s.retryAt)) || tooShort(s, now, req.MinimumLife) {
			lease, err := m.settle(s, now, req)
			m.forgetUnused(s, now)
			return lease, pending{}, err
		}
		m.start(s, newFlight(req.Identity, false))
	}
	s.waiters++
	m.schedule(s)
	return nil, pending{s, s.flight}, nil
}

// take gives a lease on a credential that is good enough as it is, else nil.
func (m *Manager) take(s *shared, req Request, now time.Time) *Lease {
	if s.flight != nil && s.flight.ending {
		return nil
	}
	m.revive(s, req.Connector)
	if !s.satisfies(now, req.MinimumLife) {
		return nil
	}
	return m.attach(s, req)
}

// leave gives a wait up; the flight goes on.
func (m *Manager) leave(p pending) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.shared.waiters--
	m.forgetUnused(p.shared, time.Now().Round(0))
}

// tooShort reports whether the provider's lives are known to be shorter than
// what is asked, so that another call cannot help.
func tooShort(s *shared, now time.Time, minimum time.Duration) bool {
	return s.usable(now) && !s.renewNow && s.lastErr == nil && s.current.Life() > 0 && minimum > s.current.Life()
}

// settle answers from what there is after a flight or a remembered failure.
func (m *Manager) settle(s *shared, now time.Time, req Request) (*Lease, error) {
	switch {
	case s.usable(now) && req.MinimumLife == 0 && !s.failedStatic():
		return m.attach(s, req), nil // the provider does not answer; the last good one still holds
	case s.lastErr != nil:
		return nil, s.lastErr
	case s.usable(now):
		return nil, issuers.Terminate("LifeTooShort", "the credential lives %s, shorter than token.minimum: lower token.minimum or raise the provider's life", s.current.Life().Round(time.Second))
	default:
		return nil, issuers.Retry(0, "Superseded", "the credential ended while it was being acquired")
	}
}

func (m *Manager) attach(s *shared, req Request) *Lease {
	if len(s.holders) == 0 {
		m.nudge() // only what is held is renewed, so Run may sleep for longer
	}
	lease := &Lease{manager: m, shared: s, holder: req.Holder, identity: req.Identity}
	s.holders[req.Holder] = lease
	s.latest = req.Identity
	s.lingerTill = time.Time{}
	m.schedule(s)
	return lease
}

// forgetUnused lets a key that nobody holds linger, so that its failure is
// remembered, and then end.
func (m *Manager) forgetUnused(s *shared, now time.Time) {
	if !s.held() {
		s.lingerTill = latest(now.Add(m.Linger), s.retryAt)
	}
	m.schedule(s)
	m.nudge()
}
