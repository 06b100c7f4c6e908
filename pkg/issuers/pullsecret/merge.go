package pullsecret

import (
	"fmt"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Merger puts logins from several places together. The first for a key that
// has not ended wins. When all for a key have ended they leave a gap: nothing
// is handed out for it, and nothing wider, nor another Connector's login, takes
// their place.
type Merger struct {
	now     time.Time
	entries []connector.Entry
	owners  []string // where each entry comes from
	at      map[connector.Key]int
	// The first and the last end of a login, and whether one has none.
	first, last time.Time
	endless     bool
	gaps        []connector.Key
	ended       time.Time // when the last login ended that was left out
	warnings    []string
}

// NewMerger makes a Merger that knows which logins have ended by now.
func NewMerger(now time.Time) *Merger { return &Merger{now: now, at: map[connector.Key]int{}} }

// Add takes one entry, unless it has ended or its key is taken. Owner tells
// where it comes from, such as `Secret "a"`; end is when it ends, and zero
// stands for the exp of a JWT, if it is one.
func (m *Merger) Add(owner string, entry connector.Entry, end time.Time) {
	if end.IsZero() {
		end = entryEnd(entry)
	}
	if !end.IsZero() && !m.now.Before(end) {
		if end.After(m.ended) {
			m.ended = end
		}
		m.gaps = append(m.gaps, entry.Key)
		m.Warn(fmt.Sprintf("%s: the login for %s ended at %s and is left out", owner, entry.Key, instant(end)))
		return
	}
	if i, taken := m.at[entry.Key]; taken {
		if !m.entries[i].Equal(entry) {
			m.Warn(fmt.Sprintf("Ambiguous: %s and %s hold different logins for %s; the first is used", m.owners[i], owner, entry.Key))
		}
		return
	}
	if !entry.Anonymous {
		entry.ExpiresAt = end
	}
	m.at[entry.Key] = len(m.entries)
	m.entries, m.owners = append(m.entries, entry), append(m.owners, owner)
	switch {
	case entry.Anonymous: // nothing that could end
	case end.IsZero():
		m.endless = true
	default:
		if m.first.IsZero() || end.Before(m.first) {
			m.first = end
		}
		if end.After(m.last) {
			m.last = end
		}
	}
}

// Warn adds findings for the operator.
func (m *Merger) Warn(texts ...string) { m.warnings = append(m.warnings, texts...) }

// Len is the number of entries that count.
func (m *Merger) Len() int { return len(m.entries) }

// Ended is when the last login ended that was left out; empty when none was.
func (m *Merger) Ended() string {
	if m.ended.IsZero() {
		return ""
	}
	return instant(m.ended)
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Credential is the whole. It ends when the last of its logins does, and is to
// be read again when the first does.
func (m *Merger) Credential() *connector.Credential {
	c := &connector.Credential{
		Entries: slices.Clone(m.entries), IssuedAt: m.now, RefreshAt: m.first,
		Static: true, Grain: connector.GrainIdentity, Warnings: m.warnings,
	}
	if !m.endless {
		c.ExpiresAt = m.last
	}
	c.LongLived = m.endless || !m.last.IsZero() && issuers.OutlivesADay(m.now, m.last)
	for i, key := range m.gaps {
		if _, taken := m.at[key]; !taken && !slices.Contains(m.gaps[:i], key) {
			c.Entries = append(c.Entries, connector.Entry{Key: key, Anonymous: true})
		}
	}
	return c
}

// entryEnd is the exp of an entry whose secret is a JWT.
func entryEnd(e connector.Entry) time.Time {
	for _, s := range []connector.Secret{e.RegistryToken, e.IdentityToken, e.Password} {
		if !s.IsZero() {
			return issuers.TokenExpiry(s)
		}
	}
	return time.Time{}
}
