package credentials

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Request asks for a credential on behalf of one holder.
type Request struct {
	// Holder is who holds the lease, in practice a volume id.
	Holder    string
	Connector *connector.Connector
	// Identity is the holder's own; it stays live, so that a renewal finds
	// the freshest token.
	Identity issuers.Identity
	// Scope is already narrowed to what the Connector allows.
	Scope connector.Scope
	// TTL is the wished life; zero = the provider's default.
	TTL time.Duration
	// MinimumLife is the least life left, refused when it cannot be had. Zero
	// wishes for half of the credential's life, and takes a shorter one that
	// is still valid when the provider does not answer.
	MinimumLife time.Duration
}

// Lease is a holder's claim on a shared credential. A later lease of the same
// holder takes the place of an earlier one, whose release then does nothing.
type Lease struct {
	manager  *Manager
	shared   *shared
	holder   string
	identity issuers.Identity
}

// State is what a lease gives at one moment.
type State struct {
	// Credential is nil when there is none: expired, or its source is gone.
	Credential *connector.Credential
	// RenewAt is when it falls due for renewal; zero = not by time.
	RenewAt time.Time
	// Emptied says why Credential is nil.
	Emptied string
	// Hosts are those that the credential serves, or served before it was emptied.
	Hosts []string
}

// Key names the shared credential, for the holder's record.
func (l *Lease) Key() string { return l.shared.key }

// Identity is the one that the lease was acquired with.
func (l *Lease) Identity() issuers.Identity { return l.identity }

// State returns the credential in force.
func (l *Lease) State() State {
	l.manager.mu.Lock()
	defer l.manager.mu.Unlock()
	s := l.shared
	return State{Credential: s.current, RenewAt: s.renewAt, Emptied: s.emptied, Hosts: s.hosts}
}

// Release gives the claim up. The credential lingers for the next holder.
func (l *Lease) Release() { l.manager.release(l, false) }

// Withdraw gives the claim up because the holder must not know the credential
// any longer: it is revoked at once, after a successor was made for the other
// holders.
func (l *Lease) Withdraw() { l.manager.release(l, true) }

// Retire stops renewal because the Connector is gone: the content stays until
// it expires, static content for the grace time.
func (l *Lease) Retire() { l.manager.retire(l.shared) }

// Revive ends Retire, and takes over a generation of the Connector that asks
// for the same credential.
func (l *Lease) Revive(c *connector.Connector) { l.manager.reviveLease(l.shared, c) }

// IdentityRefreshed tells that the holder's identity has fresh tokens, for a
// renewal that waits for one.
func (l *Lease) IdentityRefreshed() { l.manager.identityRefreshed(l) }
