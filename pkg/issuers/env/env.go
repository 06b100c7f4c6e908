package env

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Kind is the name of the member of spec.issuer.
const Kind = "env"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:  "Hands out stored logins for many registries, with imgpkg's variables and its rules of matching.",
		Identity: "static: whoever the logins belong to",
		Life:     "as the Secrets: a changed one arrives within seconds; the exp of a JWT can tell an end",
		Static:   true,
		Sharing:  connector.ShareConnector,
	}
	return issuers.Define(Kind, docs, example, func(c Config) issuers.Issuer { return &issuer{config: c} })
}

type issuer struct{ config Config }

// Audiences implements issuers.Issuer: no pod token is needed.
func (*issuer) Audiences() []string { return nil }

// Issue implements issuers.Issuer. It reads the Secrets and puts what they
// hold into one list, in the order that decides between equals.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	m := pullsecret.NewMerger(time.Now())
	r := newReader(req)
	var mistakes []error
	for n, e := range i.config.Entries {
		entry, wrong := r.entry(ctx, e)
		mistakes = append(mistakes, wrong...)
		if len(wrong) == 0 {
			m.Add(fmt.Sprintf("entries[%d]", n), entry, time.Time{})
		}
	}
	if ref := i.config.SecretRef; ref != nil {
		mistakes = append(mistakes, i.addVariables(ctx, m, r, ref.Name)...)
	}
	if err := joined(mistakes); err != nil {
		return nil, err
	}
	if m.Len() == 0 {
		return nil, issuers.Terminate("SecretExpired", "all logins of issuer %s have ended (the last one at %s); renew them", Kind, m.Ended()).Because(connector.ErrDenied)
	}
	return m.Credential(), nil
}

// addVariables adds what a Secret of imgpkg's variables holds.
func (i *issuer) addVariables(ctx context.Context, m *pullsecret.Merger, r *reader, name string) []error {
	secret, err := r.secret(ctx, name)
	if err != nil {
		return []error{err}
	}
	groups, ignored, err := parseVariables(i.config.prefix(), secret.Data)
	if err != nil {
		return []error{pullsecret.Invalid(secret, "%w", err)}
	}
	owner := fmt.Sprintf("Secret %q", name)
	if len(ignored) > 0 {
		m.Warn(fmt.Sprintf("%s: %s left out: they say nothing here", owner, listed(ignored)))
	}
	said := false
	var mistakes []error
	for _, g := range groups {
		if g.empty() {
			m.Warn(fmt.Sprintf("%s: %s left out: nothing is in it", owner, listed(g.keys())))
			continue
		}
		said = true
		mistakes = append(mistakes, addGroup(m, secret, g)...)
	}
	if !said {
		return []error{pullsecret.Invalid(secret, "holds variables that are all empty: write the registry and its login")}
	}
	return mistakes
}

func addGroup(m *pullsecret.Merger, secret *connector.Object, g group) []error {
	if g.values[hostname].IsZero() {
		return []error{pullsecret.Invalid(secret, "has %s and lacks key %q, which says for which registry", listed(g.keys()), g.key(hostname))}
	}
	var mistakes []error
	match := g.serves(func(key string, problem error) {
		mistakes = append(mistakes, pullsecret.BadKey(secret, key, problem))
	})
	if len(mistakes) > 0 {
		return mistakes
	}
	entry, warnings, err := g.entry(match)
	if err != nil {
		return []error{pullsecret.Invalid(secret, "%w", err)}
	}
	for _, w := range warnings {
		m.Warn(fmt.Sprintf("Secret %q: %s", secret.Name, w))
	}
	m.Add(fmt.Sprintf("Secret %q key %q", secret.Name, g.key(hostname)), entry, time.Time{})
	return nil
}

// prefix is the configured one or the default.
func (c Config) prefix() string {
	if c.Prefix == "" {
		return defaultPrefix
	}
	return c.Prefix
}
