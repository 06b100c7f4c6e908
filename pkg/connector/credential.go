package connector

import (
	"strings"
	"time"
)

// Entry is one secret and what it serves. Exactly one of these forms is set:
// Username with Password, IdentityToken (optionally with Username),
// RegistryToken, or Anonymous.
type Entry struct {
	Key           Key
	Username      string
	Password      Secret
	IdentityToken Secret // OAuth2 refresh token, exchanged by the client
	RegistryToken Secret // ready-made bearer, bound to its scopes
	Anonymous     bool   // an absence that shadows wider entries
	// ExpiresAt is when this entry ends, where the entries of a credential end
	// at different times; zero = with the credential.
	ExpiresAt time.Time
}

// Empty reports whether the entry carries no secret.
func (e Entry) Empty() bool {
	return e.Password.IsZero() && e.IdentityToken.IsZero() && e.RegistryToken.IsZero()
}

// Equal reports whether both entries give a client the same, however long.
func (e Entry) Equal(o Entry) bool {
	return e.Key == o.Key && e.Username == o.Username && e.Anonymous == o.Anonymous &&
		e.Password.Equal(o.Password) && e.IdentityToken.Equal(o.IdentityToken) && e.RegistryToken.Equal(o.RegistryToken)
}

// Handle is what a provider needs to find an object again in order to delete
// it. It never holds a secret, and is stored on disk.
type Handle string

// Credential is what an issuer gives for one key.
type Credential struct {
	// ID is random, made by the core; it ties the audit records of one
	// credential together and says nothing about its content.
	ID      string
	Entries []Entry
	// Fields are further values of the provider's answer, by the file name
	// that the `fields` configuration gives them.
	Fields   map[string]Secret
	IssuedAt time.Time
	// ExpiresAt is zero when nothing tells the end.
	ExpiresAt time.Time
	// RefreshAt is when a part of static content ends, so that the source has
	// to be read again; zero = never.
	RefreshAt time.Time
	// Static content follows its source object: it has no end of its own and
	// is read again when the source changes.
	Static bool
	// LongLived: the provider states no end, or one more than 24 h away, and
	// regcred does not delete it.
	LongLived bool
	Handle    Handle
	Granted   Scope
	Grain     Grain
	// Warnings are findings for the operator (a dropped helper, an ambiguous
	// host): one line each, never a secret.
	Warnings []string
}

// Hosts lists the entries' hosts in order, each once.
func (c *Credential) Hosts() []string {
	var hosts []string
	seen := make(map[string]bool, len(c.Entries))
	for _, e := range c.Entries {
		if host := e.Key.Host; !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// MaxShortLife is the life beyond which a credential is long-lived.
const MaxShortLife = 24 * time.Hour

// EndOf is when one of its entries ends; zero when nothing tells.
func (c *Credential) EndOf(e Entry) time.Time {
	if e.ExpiresAt.IsZero() {
		return c.ExpiresAt
	}
	return e.ExpiresAt
}

// LongLivedEntry reports whether one of its entries is long-lived: an entry
// with a near end of its own is not, whatever stands beside it.
func (c *Credential) LongLivedEntry(e Entry) bool {
	return c.LongLived && !e.Anonymous && (e.ExpiresAt.IsZero() || e.ExpiresAt.Sub(c.IssuedAt) > MaxShortLife)
}

// Life is the time from issue to expiry, or zero when the end is unknown.
func (c *Credential) Life() time.Duration {
	if c.ExpiresAt.IsZero() {
		return 0
	}
	return c.ExpiresAt.Sub(c.IssuedAt)
}

// Expired reports whether the end is known and reached.
func (c *Credential) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}

// SameContent reports whether a client would see no difference.
func (c *Credential) SameContent(o *Credential) bool {
	if len(c.Entries) != len(o.Entries) || len(c.Fields) != len(o.Fields) || !c.ExpiresAt.Equal(o.ExpiresAt) {
		return false
	}
	for i := range c.Entries {
		if !c.Entries[i].Equal(o.Entries[i]) || !c.Entries[i].ExpiresAt.Equal(o.Entries[i].ExpiresAt) {
			return false
		}
	}
	for name, value := range c.Fields {
		if other, ok := o.Fields[name]; !ok || !value.Equal(other) {
			return false
		}
	}
	return true
}

// String names hosts and times only.
func (c *Credential) String() string {
	return "credential " + c.ID + " for " + strings.Join(c.Hosts(), ",")
}
