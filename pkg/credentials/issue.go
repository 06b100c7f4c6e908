package credentials

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// job is what a flight works from: a copy, so that it needs no lock.
type job struct {
	key        string
	connector  *connector.Connector
	definition issuers.Definition
	issuer     issuers.Issuer
	subject    connector.Subject
	scope      connector.Scope
	ttl        time.Duration
	identity   issuers.Identity
	current    *connector.Credential // nil when there is none
	renewal    bool
}

// outcome is what a flight brings.
type outcome struct {
	credential *connector.Credential
	renewAt    time.Time
	intent     string
	lookups    []lookup
	staleUntil time.Time // of a credential whose source or Connector is gone
	sourceGone bool
	err        error
}

// fly does what s.flight asks: issues a credential, or ends the place.
func (m *Manager) fly(ctx context.Context, s *shared) {
	if s.flight.ending {
		m.finishEnd(s)
		return
	}
	m.mu.Lock()
	j := job{
		key: s.key, connector: s.connector, definition: s.definition, issuer: s.issuer, subject: s.subject,
		scope: s.scope, ttl: s.ttl, identity: s.flight.identity, renewal: s.flight.renewal, current: s.current,
	}
	s.renewNow = false // a change from here on is another reason to ask
	m.mu.Unlock()

	began := time.Now()
	out := m.issue(ctx, j)
	m.Metrics.IssueDuration.WithLabelValues(j.definition.Kind).Observe(time.Since(began).Seconds())
	m.Metrics.Issues.WithLabelValues(j.definition.Kind, resultOf(out.err)).Inc()
	m.land(s, out)
}

func resultOf(err error) string {
	if err == nil {
		return "success"
	}
	return string(issuers.ClassOf(err))
}

// issue asks the issuer and checks the answer. An object that the provider
// made but that cannot be used is queued for revocation.
func (m *Manager) issue(ctx context.Context, j job) outcome {
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	if j.renewal {
		ctx = issuers.WithLowPriority(ctx)
	}
	objects := &recorder{objects: m.Objects, namespace: j.connector.ObjectNamespace}
	client, err := m.Clients.Client(ctx, j.connector, objects, j.issuer.Audiences())
	if err != nil {
		return outcome{err: err, lookups: objects.taken()}
	}
	defer client.CloseIdleConnections()
	req := issuers.Request{
		Connector: j.connector, Scope: j.scope, TTL: j.ttl, Identity: j.identity, Objects: objects,
		HTTP: client, Name: m.NamePrefix + "-" + randomID(8),
	}
	if j.current != nil {
		req.Previous = j.current.Handle
	}
	intent, err := m.intend(j, req.Name)
	if err != nil {
		return outcome{err: err, lookups: objects.taken()}
	}
	cred, err := j.issuer.Issue(ctx, req)
	if err == nil {
		cred.ID = randomID(16)
		err = accept(j, cred)
	}
	if err != nil {
		m.abandon(intent, cred, err)
		return outcome{err: err, lookups: objects.taken()}
	}
	if err := m.fulfil(intent, cred); err != nil {
		m.abandon(intent, cred, err)
		return outcome{err: err, lookups: objects.taken()}
	}
	if before := j.current; before != nil && before.Static && cred.Static && before.SameContent(cred) {
		cred.ID, cred.IssuedAt = before.ID, before.IssuedAt // its source was read again, and says the same
	}
	return outcome{credential: cred, intent: intent, lookups: objects.taken()}
}

// accept completes what the core knows and refuses what the Connector does
// not allow.
func accept(j job, cred *connector.Credential) error {
	now := time.Now().Round(0)
	c := j.connector
	if cred.IssuedAt.IsZero() || cred.IssuedAt.After(now) {
		cred.IssuedAt = now // a provider's clock ahead of ours would only stretch the life
	}
	cred.IssuedAt = cred.IssuedAt.Round(0)
	if cred.ExpiresAt.IsZero() && !cred.Static && c.DefaultTTL > 0 {
		cred.ExpiresAt = cred.IssuedAt.Add(c.DefaultTTL)
	}
	if cred.ExpiresAt.Sub(now) > foreseeable {
		cred.ExpiresAt = time.Time{} // as good as none, and beyond what records can say
	}
	if cred.Expired(now) {
		return issuers.Retry(0, "AlreadyExpired", "issuer %s gave a credential that ended at %s: compare the clocks of the node and the provider", j.definition.Kind, cred.ExpiresAt.UTC().Format(time.RFC3339))
	}
	_, revoker := j.issuer.(issuers.Revoker)
	secret := slices.ContainsFunc(cred.Entries, func(e connector.Entry) bool { return !e.Anonymous })
	if secret && !revoker && issuers.OutlivesADay(cred.IssuedAt, cred.ExpiresAt) {
		cred.LongLived = true
	}
	if cred.LongLived && !j.definition.Static && !c.AllowLongLived {
		return notAllowed("LongLivedNotAllowed", "issuer %s gave a credential without an end within 24 h: set spec.allowLongLived: true on the Connector, or shorten it at the provider", j.definition.Kind)
	}
	return minimumScopeMet(c, j.definition.Kind, cred.Grain)
}

// land puts a flight's outcome in force and tells who is concerned.
func (m *Manager) land(s *shared, out outcome) {
	if out.err == nil {
		if err := m.keep(s, &out); err != nil {
			m.abandon(out.intent, out.credential, err)
			out = outcome{lookups: out.lookups, err: fmt.Errorf("keeping the credential for a restart: %w", err)}
		}
	}
	m.mu.Lock()
	before, subject, issuedFor := s.current, s.subject, s.connector
	m.mu.Unlock()
	m.auditOutcome(issuedFor, subject, before, out) // before anybody can show it

	m.mu.Lock()
	f := s.flight
	s.flight = nil
	if f.renewal {
		m.renewals.ended(s)
	}
	s.lookups = out.lookups
	now := time.Now().Round(0)
	var changed, failed []string
	if out.err == nil {
		changed = m.succeed(s, out, now)
	} else {
		changed, failed = m.fail(s, out.err, now)
	}
	if !s.held() {
		m.forgetUnused(s, now)
	}
	f.err = out.err
	m.schedule(s)
	ref := s.connector.Ref
	m.mu.Unlock()

	close(f.done)
	m.nudge()
	m.tell(changed)
	for _, holder := range failed {
		m.listener.RenewalFailed(holder, ref, out.err)
	}
}

func (m *Manager) succeed(s *shared, out outcome, now time.Time) (changed []string) {
	before, recovered := s.current, s.lastErr != nil
	if before != nil && s.intent != "" {
		s.superseded = append(s.superseded, s.supersede(now))
	}
	s.current, s.intent, s.emptied = out.credential, out.intent, ""
	s.renewAt, s.hosts = out.renewAt, out.credential.Hosts()
	s.failures, s.lastErr, s.retryAt, s.staleUntil, s.cutOverlap = 0, nil, time.Time{}, time.Time{}, false
	s.unsaved, s.sourceGone = false, false // the flight wrote it
	if s.retired && s.current.Static {
		s.staleUntil = now.Add(staleGrace)
		m.behindNow(s)
	}
	m.expiries.outdated(s.connector.Ref)
	if before == nil || recovered || !before.SameContent(out.credential) {
		changed = holdersOf(s)
	}
	return changed
}

// fail keeps the last good credential. Static content whose source is gone has
// a grace time; content that its owner took back is emptied at once.
func (m *Manager) fail(s *shared, err error, now time.Time) (changed, failed []string) {
	s.failures++
	s.lastErr = err
	s.retryAt = now.Add(backOff(err, s.failures))
	if s.current == nil || !s.current.Static {
		return nil, holdersOf(s)
	}
	switch {
	case errors.Is(err, connector.ErrDenied):
		changed = m.emptyNow(s, err.Error())
	case errors.Is(err, connector.ErrNotFound) && s.staleUntil.IsZero():
		s.staleUntil, s.sourceGone = now.Add(staleGrace), true
		m.behindNow(s)
	case errors.Is(err, connector.ErrNotFound) && !s.sourceGone:
		s.sourceGone = true
		m.behindNow(s)
	}
	return changed, holdersOf(s)
}

// keep plans the renewal and writes what a restart needs once out is in force.
func (m *Manager) keep(s *shared, out *outcome) error {
	m.mu.Lock()
	out.renewAt = renewAt(time.Now().Round(0), out.credential, s.connector.MaxAge)
	former := slices.Clone(s.superseded)
	if s.current != nil && s.intent != "" {
		former = append(former, s.supersede(time.Now().Round(0)))
	}
	document, err := encodeShared(s, *out, former)
	m.mu.Unlock()
	if err != nil {
		return err
	}
	return m.Credentials.Put(s.key, document)
}

func (m *Manager) auditOutcome(c *connector.Connector, subject connector.Subject, before *connector.Credential, out outcome) {
	event := audit.Issued
	switch {
	case out.err != nil && issuers.ClassOf(out.err) == issuers.Denied:
		event = audit.Refused
	case out.err != nil, before != nil && before.ID == out.credential.ID:
		return
	case before != nil:
		event = audit.Renewed
	}
	r := audit.Of(event, c, out.credential)
	r.Subject, r.Sharing = subject, m.definitions[c.Issuer.Kind].Sharing.Narrower(c.Sharing)
	if before != nil {
		r.Replaces = before.ID
	}
	if out.err != nil {
		r.Detail = out.err.Error()
	}
	m.Audit.Write(r)
}

// statedWait is the wait that the provider itself asks for.
func statedWait(err error) time.Duration {
	if e, ok := errors.AsType[*issuers.Error](err); ok {
		return e.After
	}
	return 0
}

// randomID returns n random bytes in hexadecimal.
func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its contract
	return hex.EncodeToString(b)
}
