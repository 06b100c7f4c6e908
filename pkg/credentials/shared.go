package credentials

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// shared is one credential's place: the key under which it is shared, its
// holders, the credential in force and what comes next. The manager's lock
// guards it; only one flight at a time works on it without the lock.
type shared struct {
	key        string
	connector  *connector.Connector
	definition issuers.Definition
	issuer     issuers.Issuer
	subject    connector.Subject // what its sharers have in common
	scope      connector.Scope
	ttl        time.Duration

	holders map[string]*Lease
	latest  issuers.Identity // of the last holder that came; renews for all
	waiters int              // callers of Acquire that wait for the flight

	current    *connector.Credential
	intent     string // name of the current credential's intent record; empty when nothing is to be revoked
	renewAt    time.Time
	emptied    string
	hosts      []string // of the last credential
	superseded []superseded
	lookups    []lookup

	flight     *flight
	backlogged bool // due, and waiting for a renewal worker
	dueSince   time.Time
	renewNow   bool // an answer of Objects changed, or a holder was withdrawn
	cutOverlap bool // the credential in force must end with the next flight
	retired    bool // its Connector is gone
	unsaved    bool // its record is behind
	failures   int
	lastErr    error
	retryAt    time.Time
	staleUntil time.Time // static content whose source or Connector is gone
	sourceGone bool      // it is the source: nobody new gets the content
	lingerTill time.Time // when it ends, while nobody holds it
}

// superseded is a former credential that clients may still use.
type superseded struct {
	credential *connector.Credential
	intent     string
	revokeAt   time.Time
}

// supersede tells how long the credential in force stays valid beside its
// successor.
func (s *shared) supersede(now time.Time) superseded {
	at := now
	if !s.cutOverlap && len(s.holders) > 0 {
		at = revokeAt(now, s.current, s.connector.Overlap)
	}
	return superseded{s.current, s.intent, at}
}

// flight is one call of the issuer (or the end of the credential), shared by
// all who need its outcome.
type flight struct {
	identity issuers.Identity
	renewal  bool
	launched bool // its goroutine runs
	ending   bool // the place itself goes away; wait, then begin anew
	done     chan struct{}
	err      error // valid after done
}

func newFlight(identity issuers.Identity, renewal bool) *flight {
	return &flight{identity: identity, renewal: renewal, done: make(chan struct{})}
}

func (s *shared) held() bool { return len(s.holders) > 0 || s.waiters > 0 }

// usable reports whether there is a credential that has not ended.
func (s *shared) usable(now time.Time) bool { return s.current != nil && !s.current.Expired(now) }

// satisfies reports whether the credential in force has enough life left. One
// that is cut as soon as its successor is there has none.
func (s *shared) satisfies(now time.Time, minimum time.Duration) bool {
	if !s.usable(now) || s.renewNow || s.cutOverlap || s.failedStatic() {
		return false
	}
	if s.current.ExpiresAt.IsZero() || (minimum == 0 && s.current.Static) {
		return true
	}
	if minimum == 0 {
		minimum = s.current.Life() / 2
	}
	return s.current.ExpiresAt.Sub(now) >= minimum
}

// failedStatic reports whether the content is only kept because its source
// does not give a better one: no new holder gets it.
func (s *shared) failedStatic() bool { return s.current.Static && (s.lastErr != nil || s.sourceGone) }

// renewalDue returns when the issuer is to be asked again; zero = never.
func (s *shared) renewalDue(now time.Time) time.Time {
	switch {
	case s.flight != nil || s.backlogged || s.retired || len(s.holders) == 0:
		return time.Time{}
	case !s.renewNow && s.current != nil && s.lastErr == nil:
		return s.renewAt
	case s.retryAt.IsZero():
		return now
	default:
		return s.retryAt
	}
}

// nextDue returns when anything is to be done; zero = nothing by time.
func (s *shared) nextDue(now time.Time) time.Time {
	due := s.renewalDue(now)
	earlier := func(t time.Time) {
		if !t.IsZero() && (due.IsZero() || t.Before(due)) {
			due = t
		}
	}
	if s.current != nil {
		earlier(s.current.ExpiresAt)
		earlier(s.staleUntil)
	}
	for _, old := range s.superseded {
		earlier(old.revokeAt)
	}
	if !s.held() && s.flight == nil {
		earlier(s.lingerTill)
	}
	return due
}

// empty takes the credential out of force.
func (s *shared) empty(why string) {
	s.current, s.emptied, s.staleUntil = nil, why, time.Time{}
	s.renewAt = time.Time{}
}
