package secret

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Kind is the name of the member of spec.issuer.
const Kind = "secret"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:  "Hands out the logins of existing Kubernetes Secrets, chosen by name or by label.",
		Identity: "static: whoever the Secret's login belongs to",
		Life:     "as the Secret: a changed one arrives within seconds; an annotation or the exp of a JWT can tell an end",
		Static:   true,
		Sharing:  connector.ShareConnector,
	}
	return issuers.Define(Kind, docs, example, func(c Config) issuers.Issuer { return &issuer{config: c} })
}

type issuer struct{ config Config }

// Audiences implements issuers.Issuer: no pod token is needed.
func (*issuer) Audiences() []string { return nil }

// Issue implements issuers.Issuer. It reads the Secrets and merges them.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	secrets, err := i.read(ctx, req.Objects)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, r := range issuers.LoginHosts(req.Connector) {
		hosts = append(hosts, r.Host)
	}
	now := time.Now()
	m := merger{now: now, at: map[connector.Key]int{}}
	for _, s := range secrets {
		if err := i.merge(&m, s, req.Connector.Ref.Name, hosts); err != nil {
			return nil, err
		}
	}
	if err := i.check(&m, secrets); err != nil {
		return nil, err
	}
	for _, err := range m.refused {
		m.warnings = append(m.warnings, "left out: "+err.Error())
	}
	expires := m.expires()
	return &connector.Credential{
		Entries: m.entries, IssuedAt: now, ExpiresAt: expires, RefreshAt: m.first,
		Static: true, LongLived: issuers.OutlivesADay(now, expires),
		Grain: connector.GrainIdentity, Warnings: m.warnings,
	}, nil
}

func (i *issuer) read(ctx context.Context, objects issuers.Objects) ([]*connector.Object, error) {
	if i.config.Name != "" {
		object, err := objects.Object(ctx, connector.KindSecret, i.config.Name)
		if err != nil {
			return nil, issuers.ObjectError(connector.KindSecret, i.config.Name, err)
		}
		return []*connector.Object{object}, nil
	}
	found, err := objects.Select(ctx, connector.KindSecret, *i.config.Selector)
	if err != nil {
		return nil, issuers.Retry(0, "SecretUnreadable", "reading the Secrets that selector chooses: %w", err)
	}
	if len(found) == 0 {
		return nil, issuers.Retry(0, "SecretNotFound", "no Secret in the Connector's namespace matches selector").Because(connector.ErrNotFound)
	}
	return found, nil
}

// merge adds what one Secret holds. One that its owner does not offer takes
// nothing from those that are offered.
func (i *issuer) merge(m *merger, s *connector.Object, connectorName string, hosts []string) error {
	login, err := pullsecret.Read(s, connectorName, hosts)
	if errors.Is(err, connector.ErrDenied) {
		m.refused = append(m.refused, err)
		return nil
	}
	if err != nil {
		return err
	}
	m.warnings = append(m.warnings, login.Warnings...)
	end, err := i.annotatedEnd(s)
	if err != nil {
		return err
	}
	for _, entry := range login.Entries {
		m.add(s.Name, entry, end)
	}
	return nil
}

func (i *issuer) check(m *merger, secrets []*connector.Object) error {
	if len(m.entries) == 0 && len(m.refused) > 0 {
		return m.refused[0]
	}
	if len(m.entries) == 0 {
		return issuers.Terminate("SecretExpired", "Secret %q: its login has ended (%s); renew the Secret", secrets[0].Name, m.ended).Because(connector.ErrDenied)
	}
	if i.config.RequireSingleEntry && len(m.entries) != 1 {
		return issuers.Terminate("NotSingleEntry", "there are %d logins (Secrets found: %d), and requireSingleEntry allows one", len(m.entries), len(secrets))
	}
	return nil
}

// annotatedEnd reads the annotation that tells when a Secret's login ends.
func (i *issuer) annotatedEnd(s *connector.Object) (time.Time, error) {
	text, ok := s.Annotations[i.config.ExpiresAnnotation]
	if i.config.ExpiresAnnotation == "" || !ok {
		return time.Time{}, nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, issuers.Terminate("SecretInvalid", "Secret %q: annotation %s is not a time such as 2026-12-31T23:00:00Z", s.Name, i.config.ExpiresAnnotation)
	}
	return issuers.Believable(end), nil
}

// merger puts the logins of several Secrets together, in the order of their
// names.
type merger struct {
	now     time.Time
	entries []connector.Entry
	owners  []string // the Secret of each entry
	at      map[connector.Key]int
	// The first and the last end of an entry, and whether one has none.
	first, last time.Time
	endless     bool
	ended       string  // when the last entry ended that was left out
	refused     []error // the Secrets that are not offered
	warnings    []string
}

// expires is when nothing is left; before that, ended entries go one by one.
func (m *merger) expires() time.Time {
	if m.endless {
		return time.Time{}
	}
	return m.last
}

// add takes one entry unless it has ended or its key is taken.
func (m *merger) add(secret string, entry connector.Entry, end time.Time) {
	if end.IsZero() {
		end = entryEnd(entry)
	}
	if !end.IsZero() && !m.now.Before(end) {
		m.ended = end.UTC().Format(time.RFC3339)
		m.warnings = append(m.warnings, fmt.Sprintf("Secret %q: the login for %s ended at %s and is left out", secret, entry.Key, m.ended))
		return
	}
	if i, taken := m.at[entry.Key]; taken {
		if !m.entries[i].Equal(entry) {
			m.warnings = append(m.warnings, fmt.Sprintf("Ambiguous: Secrets %q and %q hold different logins for %s; the one of %q is used", m.owners[i], secret, entry.Key, m.owners[i]))
		}
		return
	}
	m.at[entry.Key] = len(m.entries)
	m.entries, m.owners = append(m.entries, entry), append(m.owners, secret)
	switch {
	case end.IsZero():
		m.endless = true
		return
	case m.first.IsZero() || end.Before(m.first):
		m.first = end
	}
	if end.After(m.last) {
		m.last = end
	}
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
