package credentials

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// intent is the record of an object at a provider. It is on disk before the
// object can exist, and goes when the object has gone.
type intent struct {
	Name      string               `json:"name"`
	Key       string               `json:"key"`
	Connector *connector.Connector `json:"connector"`
	Subject   connector.Subject    `json:"subject"`
	Scope     connector.Scope      `json:"scope"`
	Made      time.Time            `json:"made"`
	// Set when the object is known to exist.
	CredentialID string           `json:"credentialID,omitempty"`
	Handle       connector.Handle `json:"handle,omitempty"`
	ExpiresAt    time.Time        `json:"expiresAt,omitzero"`
}

// revocation is an intent whose object has to go, or may have to one day.
type revocation struct {
	intent
	identity   issuers.Identity
	credential *connector.Credential // for providers that revoke with the credential itself
	wanted     bool
	flying     bool
	since      time.Time
	attempts   int
	nextAt     time.Time
	told       bool // audited as not revocable
}

const (
	// revocationWorkers bounds the revocations under way, those of one Connector
	// and of one namespace to fewer: providers that hang leave a worker to their
	// neighbours and one to everybody else.
	revocationWorkers = 4
	// revokeBackOff bounds the wait between two tries.
	revokeBackOff = 5 * time.Minute
	// doubtTime is how long after its beginning a call whose answer never came
	// may still make its object: it was given up after flightTime, or was cut off
	// with the process, and the provider need not have read it yet.
	doubtTime = flightTime + 30*time.Second
	// tellAfter is when a revocation that does not succeed is audited.
	tellAfter = 24 * time.Hour
)

// intend writes the intent record for issuers that revoke, and returns its
// name; for the others there is nothing to write.
func (m *Manager) intend(j job, name string) (string, error) {
	if _, revoker := j.issuer.(issuers.Revoker); !revoker {
		return "", nil
	}
	i := intent{Name: name, Key: j.key, Connector: j.connector, Subject: j.subject, Scope: j.scope, Made: time.Now().UTC()}
	if err := m.putIntent(i); err != nil {
		return "", fmt.Errorf("recording what is about to be made: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revocations[name] = &revocation{intent: i, identity: j.identity}
	return name, nil
}

// fulfil completes the record with what the provider answered.
func (m *Manager) fulfil(name string, cred *connector.Credential) error {
	if name == "" {
		return nil
	}
	m.mu.Lock()
	r := m.revocations[name]
	r.Handle, r.CredentialID, r.ExpiresAt = cred.Handle, cred.ID, cred.ExpiresAt
	i := r.intent
	m.mu.Unlock()
	return m.putIntent(i)
}

// abandon gives up what a failed call may have made. A refusal made nothing.
func (m *Manager) abandon(name string, cred *connector.Credential, err error) {
	if name == "" {
		return
	}
	class := issuers.ClassOf(err)
	if cred == nil && (class == issuers.Terminal || class == issuers.Denied || class == issuers.NeedsNewIdentity) {
		m.drop(name)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.revocations[name]; r != nil && cred != nil {
		r.Handle, r.CredentialID, r.ExpiresAt = cred.Handle, cred.ID, cred.ExpiresAt
	}
	m.revokeSoon(name, cred)
}

// revokeSoon queues an object for deletion. The caller holds the lock.
func (m *Manager) revokeSoon(name string, cred *connector.Credential) {
	r := m.revocations[name]
	if r == nil || r.wanted {
		return
	}
	r.wanted, r.credential, r.since = true, cred, time.Now().Round(0)
	m.Metrics.PendingRevocations.Inc()
	m.nudge()
}

// dueRevocations returns what to try now, what failed least first, and the time
// until the next try.
func (m *Manager) dueRevocations(now time.Time) (due []*revocation, sleep time.Duration) {
	sleep = longestSleep
	flying, flyingIn := map[connector.Ref]int{}, map[string]int{} // by Connector, by namespace
	var ready []*revocation
	for _, r := range m.revocations {
		switch {
		case r.flying:
			flying[r.Connector.Ref]++
			flyingIn[r.Connector.Ref.Namespace]++
		case !r.wanted || m.revoking >= revocationWorkers:
		case now.Before(r.nextAt):
			sleep = min(sleep, r.nextAt.Sub(now))
		default:
			ready = append(ready, r)
		}
	}
	slices.SortFunc(ready, func(a, b *revocation) int {
		return cmp.Or(cmp.Compare(a.attempts, b.attempts), a.since.Compare(b.since))
	})
	for _, r := range ready {
		ref := r.Connector.Ref
		if m.revoking < revocationWorkers && flying[ref] < revocationWorkers-2 && flyingIn[ref.Namespace] < revocationWorkers-1 {
			r.flying = true
			flying[ref]++
			flyingIn[ref.Namespace]++
			m.revoking++
			due = append(due, r)
		}
	}
	return due, sleep
}

// revoke tries once to delete an object.
func (m *Manager) revoke(ctx context.Context, r *revocation) {
	defer m.nudge()
	err := m.callRevoker(issuers.WithLowPriority(ctx), r)
	m.mu.Lock()
	m.revoking--
	m.mu.Unlock()
	m.Metrics.Revocations.WithLabelValues(r.Connector.Issuer.Kind, resultOf(err)).Inc()
	if err == nil && m.staysInDoubt(r) {
		return
	}
	if err == nil {
		m.auditRevocation(audit.Revoked, r, "")
		m.Metrics.PendingRevocations.Dec()
		m.drop(r.Name)
		return
	}
	if !r.ExpiresAt.IsZero() && !time.Now().Before(r.ExpiresAt) { // it ended by itself
		m.auditRevocation(audit.NotRevocable, r, "expired: "+err.Error())
		m.Metrics.PendingRevocations.Dec()
		m.drop(r.Name)
		return
	}
	m.mu.Lock()
	now := time.Now().Round(0)
	r.flying = false
	r.attempts++
	r.nextAt = now.Add(max(min(firstBackOff<<min(r.attempts, 10), revokeBackOff), statedWait(err)))
	tell := !r.told && now.Sub(r.since) >= tellAfter
	r.told = r.told || tell
	m.mu.Unlock()
	if tell {
		m.auditRevocation(audit.NotRevocable, r, err.Error())
	}
}

// staysInDoubt has an object that is not known to exist revoked once more: what
// was deleted now, or not found, may have been too early for it.
func (m *Manager) staysInDoubt(r *revocation) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now().Round(0)
	if r.CredentialID != "" || !now.Before(r.Made.Add(doubtTime)) {
		return false
	}
	r.flying = false
	r.nextAt = now.Add(min(r.Made.Add(doubtTime).Sub(now), doubtTime)) // the clock may have gone back
	return true
}

func (m *Manager) callRevoker(ctx context.Context, r *revocation) error {
	issuer, def, err := m.issuerFor(r.Connector)
	if err != nil {
		return err
	}
	revoker, ok := issuer.(issuers.Revoker)
	if !ok {
		return issuers.Terminate("NotRevocable", "issuer %s does not revoke", def.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, flightTime)
	defer cancel()
	objects := &recorder{objects: m.Objects, namespace: r.Connector.ObjectNamespace}
	client, err := m.Clients.Client(ctx, r.Connector, objects, issuer.Audiences())
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	identity := r.identity
	if identity == nil {
		identity = nobody{r.Subject}
	}
	return revoker.Revoke(ctx, issuers.Request{
		Connector: r.Connector, Scope: r.Scope, Identity: identity, Objects: objects,
		HTTP: client, Name: r.Name, Credential: r.credential,
	}, r.Handle)
}

// drop forgets an intent whose object does not exist. A record that cannot be
// deleted leads to one more revocation after a restart, which finds nothing.
func (m *Manager) drop(name string) {
	_ = m.Intents.Delete(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.revocations, name)
}

func (m *Manager) putIntent(i intent) error {
	document, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return m.Intents.Put(i.Name, document)
}

func (m *Manager) auditRevocation(event audit.Event, r *revocation, detail string) {
	record := audit.Of(event, r.Connector, r.credential)
	record.CredentialID, record.ExpiresAt, record.Subject, record.Detail = r.CredentialID, r.ExpiresAt, r.Subject, detail
	m.Audit.Write(record)
}

// end begins the end of a credential that nobody holds.
func (m *Manager) end(s *shared) {
	m.revokeSoon(s.intent, s.current)
	for _, old := range s.superseded {
		m.revokeSoon(old.intent, old.credential)
	}
	s.superseded = nil
	f := newFlight(nil, false)
	f.ending = true
	m.start(s, f)
}

// finishEnd forgets an ended credential, its record first.
func (m *Manager) finishEnd(s *shared) {
	_ = m.Credentials.Delete(s.key) // it lies in memory; a restart finds it without holders and ends it again
	m.mu.Lock()
	delete(m.byKey, s.key)
	s.current, s.unsaved = nil, false
	m.schedule(s)
	m.expiries.outdated(s.connector.Ref)
	m.mu.Unlock()
	close(s.flight.done)
}

// nobody is the identity of revocations after a restart.
type nobody struct{ subject connector.Subject }

// Subject implements issuers.Identity.
func (n nobody) Subject() connector.Subject { return n.subject }

// Token implements issuers.Identity.
func (n nobody) Token(_ context.Context, audience string) (issuers.Token, error) {
	return issuers.Token{}, issuers.NewIdentity("NoToken", "no token for audience %q is left of the pod that this credential was made for", audience)
}
