package credentials

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/internal/due"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
)

// Options are what a Manager works with; all but Linger are required.
type Options struct {
	Definitions []issuers.Definition
	Objects     Objects
	Clients     Clients
	// Credentials holds the credentials themselves, in memory-backed storage.
	Credentials Records
	// Intents holds what is to be revoked, without secrets, on disk.
	Intents Records
	Audit   Auditor
	Metrics *metrics.Metrics
	// NamePrefix starts the names of objects at providers, so that what a
	// lost node left can be told from what others made.
	NamePrefix string
	// Linger is how long a credential without holders waits for the next one.
	Linger time.Duration
}

// Manager owns every credential of the node.
type Manager struct {
	Options
	definitions map[string]issuers.Definition
	wake        chan struct{}

	mu          sync.Mutex
	listener    Listener
	byKey       map[string]*shared
	built       map[string]issuers.Issuer // by configuration
	keys        map[askedFor]string
	expiries    expiries
	due         due.Queue[*shared]
	starts      []*shared // flights to start
	renewals    backlog
	unsaved     []*shared // records to write when no flight does
	revoking    int
	revocations map[string]*revocation
	lost        []intent // made good by Load, to be written again
}

const (
	// flightTime bounds one call of an issuer, whoever waits for it.
	flightTime = 60 * time.Second
	// renewalWorkers bounds the renewals under way, so that a storm of them
	// leaves the provider and the processor to new pods.
	renewalWorkers = 8
	// mostRemembered bounds what is only remembered to save work; it is
	// forgotten whole when full.
	mostRemembered = 1024
)

// New checks the options.
func New(o Options) (*Manager, error) {
	if o.Objects == nil || o.Clients == nil || o.Credentials == nil || o.Intents == nil || o.Audit == nil || o.Metrics == nil || o.NamePrefix == "" {
		return nil, errors.New("credentials: an option is missing")
	}
	m := &Manager{
		Options: o, definitions: map[string]issuers.Definition{}, wake: make(chan struct{}, 1),
		byKey: map[string]*shared{}, built: map[string]issuers.Issuer{}, keys: map[askedFor]string{}, revocations: map[string]*revocation{},
	}
	for _, d := range o.Definitions {
		m.definitions[d.Kind] = d
	}
	return m, nil
}

// Subscribe names who hears of changed leases. Call it before Run.
func (m *Manager) Subscribe(l Listener) { m.listener = l }

// Run renews, empties and revokes until ctx ends, and returns when every call
// under way has ended.
func (m *Manager) Run(ctx context.Context) error {
	var flights sync.WaitGroup
	defer m.forgetLingering()
	defer m.settleRecords(ctx)
	defer flights.Wait()
	m.recordLost(ctx)
	m.checkRestored(ctx)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.wake:
		case <-timer.C:
		}
		timer.Reset(m.turn(ctx, &flights))
	}
}

// settleRecords writes what the last flights changed.
func (m *Manager) settleRecords(ctx context.Context) {
	m.mu.Lock()
	writes := m.behind()
	m.mu.Unlock()
	m.catchUp(ctx, writes)
}

// forgetLingering drops what nobody holds and nobody has to revoke, so that a
// clean stop leaves nothing behind.
func (m *Manager) forgetLingering() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, s := range m.byKey {
		if !s.held() && s.intent == "" && len(s.superseded) == 0 {
			_ = m.Credentials.Delete(key) // the next start forgets it as well
			delete(m.byKey, key)
		}
	}
}

// longestSleep bounds a timer: the wall clock may jump, or the machine sleep.
const longestSleep = time.Minute

// turn does what is due and returns how long to sleep.
func (m *Manager) turn(ctx context.Context, flights *sync.WaitGroup) time.Duration {
	m.mu.Lock()
	now := time.Now().Round(0)
	var changed []string
	for {
		s, ok := m.due.Pop(now)
		if !ok {
			break
		}
		changed = append(changed, m.step(s, now)...)
	}
	for s, ok := m.renewals.pop(); ok; s, ok = m.renewals.pop() {
		m.startRenewal(s, now)
	}
	writes := m.behind()
	starts := m.starts
	m.starts = nil
	for _, s := range starts {
		s.flight.launched = true
	}
	revoking, sleep := m.dueRevocations(now)
	sleep = min(m.due.Wait(now, sleep), m.showExpiries(now))
	m.mu.Unlock()

	m.catchUp(ctx, writes) // before a flight starts, which writes the same records
	for _, s := range starts {
		flights.Go(func() { m.fly(ctx, s) })
	}
	for _, r := range revoking {
		flights.Go(func() { m.revoke(ctx, r) })
	}
	m.tell(changed)
	return sleep
}

// step does what is due for one credential and returns the holders that see a
// difference.
func (m *Manager) step(s *shared, now time.Time) (changed []string) {
	changed = m.emptyEnded(s, now)
	s.superseded = slices.DeleteFunc(s.superseded, func(old superseded) bool {
		if now.Before(old.revokeAt) {
			return false
		}
		m.revokeSoon(old.intent, old.credential)
		return true
	})
	switch renewal := s.renewalDue(now); {
	case !s.held() && s.flight == nil && !s.lingerTill.IsZero() && !now.Before(s.lingerTill):
		m.end(s)
	case !renewal.IsZero() && !now.Before(renewal):
		s.backlogged, s.dueSince = true, renewal
		m.renewals.push(s)
	}
	m.schedule(s)
	return changed
}

func (m *Manager) startRenewal(s *shared, now time.Time) {
	s.backlogged = false
	if len(s.holders) > 0 && s.flight == nil && !s.retired {
		m.start(s, newFlight(s.latest, true))
		m.renewals.started(s)
		m.Metrics.RenewalLag.Observe(now.Sub(s.dueSince).Seconds())
	}
	m.schedule(s)
}

// schedule queues s for what it needs next.
func (m *Manager) schedule(s *shared) { m.due.Set(s, s.nextDue(time.Now().Round(0))) }

// emptyEnded takes a credential out of force when its time has come.
func (m *Manager) emptyEnded(s *shared, now time.Time) []string {
	switch {
	case s.current == nil:
		return nil
	case s.current.Expired(now):
		return m.emptyNow(s, "expired at "+s.current.ExpiresAt.UTC().Format(time.RFC3339))
	case !s.staleUntil.IsZero() && !now.Before(s.staleUntil):
		return m.emptyNow(s, "its source is gone")
	default:
		return nil
	}
}

// emptyNow takes an ended credential out of force.
func (m *Manager) emptyNow(s *shared, why string) []string {
	m.revokeSoon(s.intent, s.current)
	s.intent = ""
	s.empty(why)
	m.behindNow(s)
	m.expiries.outdated(s.connector.Ref)
	return holdersOf(s)
}

// start hands a flight to Run.
func (m *Manager) start(s *shared, f *flight) {
	s.flight = f
	m.starts = append(m.starts, s)
	m.nudge()
}

// nudge wakes Run; one pending nudge is enough.
func (m *Manager) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Changed tells that an object which a Connector may refer to differs.
func (m *Manager) Changed(change connector.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.byKey {
		if s.connector.ObjectNamespace == change.Namespace &&
			slices.ContainsFunc(s.lookups, func(l lookup) bool { return l.concerns(change) }) {
			m.outdate(s)
		}
	}
}

// outdate has s issued again now; one that nobody holds simply ends.
func (m *Manager) outdate(s *shared) {
	s.renewNow, s.retryAt, s.failures = true, time.Time{}, 0
	if !s.held() {
		s.lingerTill = time.Now().Round(0)
	}
	m.schedule(s)
	m.nudge()
}

func (m *Manager) release(l *Lease, withdraw bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := l.shared
	if s.holders[l.holder] != l {
		return
	}
	delete(s.holders, l.holder)
	s.latest = anyOf(s.holders, s.latest)
	now := time.Now().Round(0)
	switch {
	case s.held() && withdraw && s.intent != "":
		s.renewNow, s.cutOverlap, s.retryAt = true, true, time.Time{}
	case s.held():
	case withdraw:
		s.lingerTill = now
	default:
		s.lingerTill = now.Add(m.Linger)
	}
	if len(s.holders) == 0 {
		for i := range s.superseded { // clients of theirs are gone
			s.superseded[i].revokeAt = now
		}
	}
	m.schedule(s)
	if withdraw || len(s.holders) == 0 { // else nothing falls due earlier
		m.nudge()
	}
}

// anyOf returns one of the identities, or the one known before when none is
// left but waiters.
func anyOf(holders map[string]*Lease, otherwise issuers.Identity) issuers.Identity {
	for _, lease := range holders {
		return lease.identity
	}
	return otherwise
}

func (m *Manager) retire(s *shared) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.retired = true
	if s.current != nil && s.current.Static && s.staleUntil.IsZero() {
		s.staleUntil = time.Now().Round(0).Add(staleGrace)
		m.behindNow(s)
	}
	m.schedule(s)
	m.nudge()
}

// revive takes the Connector's newest generation over, also after it was gone.
func (m *Manager) revive(s *shared, c *connector.Connector) {
	if s.retired && !s.sourceGone && !s.staleUntil.IsZero() {
		s.staleUntil = time.Time{}
		m.behindNow(s)
	}
	if s.current != nil && s.connector.MaxAge != c.MaxAge {
		s.renewAt = renewAt(time.Now().Round(0), s.current, c.MaxAge)
		m.nudge()
	}
	s.connector, s.retired = c, false
}

func (m *Manager) reviveLease(s *shared, c *connector.Connector) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.retired || s.connector.Generation != c.Generation {
		m.revive(s, c)
		m.schedule(s)
		m.nudge()
	}
}

// identityRefreshed renews with the identity that has fresh tokens from now on.
func (m *Manager) identityRefreshed(l *Lease) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := l.shared
	if s.holders[l.holder] == l && s.lastErr != nil && issuers.ClassOf(s.lastErr) == issuers.NeedsNewIdentity {
		s.latest, s.retryAt = l.identity, time.Time{}
		m.schedule(s)
		m.nudge()
	}
}

// tell reports changed leases, each holder once.
func (m *Manager) tell(holders []string) {
	for _, holder := range slices.Compact(slices.Sorted(slices.Values(holders))) {
		m.listener.Changed(holder)
	}
}

func holdersOf(s *shared) []string {
	var holders []string
	for holder := range s.holders {
		holders = append(holders, holder)
	}
	return holders
}

// Idle reports, once Run has returned, whether there is no credential left and
// nothing to revoke.
func (m *Manager) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.byKey) == 0 && len(m.revocations) == 0
}

// issuerFor constructs the issuer of a Connector, or finds it constructed.
func (m *Manager) issuerFor(c *connector.Connector) (issuers.Issuer, issuers.Definition, error) {
	def, ok := m.definitions[c.Issuer.Kind]
	if !ok {
		return nil, def, connector.Errorf(connector.ErrInvalid, "issuer %q is unknown to this version of the driver", c.Issuer.Kind)
	}
	configuration := c.Issuer.Kind + " " + string(c.Issuer.Config)
	m.mu.Lock()
	issuer := m.built[configuration]
	m.mu.Unlock()
	if issuer != nil {
		return issuer, def, nil
	}
	issuer, err := def.New(c.Issuer.Config)
	if err != nil {
		return nil, def, fmt.Errorf("spec.issuer.%s: %w", def.Kind, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.built) >= mostRemembered {
		clear(m.built)
	}
	m.built[configuration] = issuer
	return issuer, def, nil
}
