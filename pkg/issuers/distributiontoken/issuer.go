package distributiontoken

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Kind is the name of the member of spec.issuer.
const Kind = "distributionToken"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:  "Logs in to registries with CNCF distribution token authentication and hands out a bearer token for named repositories.",
		Identity: "static: the user of secretRef, whose password stays in the driver; anonymous without it",
		Life:     "registryToken: minutes, as the token server says (60 s when it says nothing); basic and identityToken: no stated end",
		Sharing:  connector.ShareConnector,
	}
	return issuers.Define(Kind, docs, example, func(c Config) issuers.Issuer { return &issuer{config: c} })
}

type issuer struct{ config Config }

// Audiences implements issuers.Issuer: no pod token is needed.
func (*issuer) Audiences() []string { return nil }

// LongLived implements issuers.LongLiver: a password and a refresh token
// outlive the pod.
func (i *issuer) LongLived() bool { return i.config.Output != RegistryToken }

// Scope implements issuers.Scoper. Only a registry token is bound to
// repositories.
func (i *issuer) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	if i.config.Output != RegistryToken {
		return connector.Scope{}, connector.GrainIdentity
	}
	return connector.Scope{Repositories: want.Repositories, Actions: newWish(want).asked}, connector.GrainRepository
}

// Issue implements issuers.Issuer. One login serves every registry that the
// Connector declares and that asks for tokens; each gets an entry of its own.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	registries := issuers.LoginHosts(req.Connector)
	if len(registries) == 0 {
		return nil, issuers.Terminate("RegistryMissing", "there is no registry to log in to: add spec.address (or spec.registries) to the Connector")
	}
	wish := newWish(req.Scope)
	if i.config.Output == RegistryToken {
		if err := wish.check(); err != nil {
			return nil, err
		}
	}
	logins, err := i.logins(ctx, req, registries)
	if err != nil {
		return nil, err
	}
	result := collector{strict: req.Connector.ScopeEnforcement != connector.BestEffort, wish: wish}
	for _, registry := range registries {
		session, err := i.start(ctx, req, registry, logins)
		if skipped(err) {
			result.skip(err)
			continue
		}
		if err == nil {
			err = i.obtain(ctx, session, &result)
		}
		if err != nil {
			return nil, err
		}
	}
	return result.credential(i.config.Output)
}

// errNotHere marks a declared registry that this login is not for. It only counts
// when no other registry takes the login.
var errNotHere = errors.New("registry skipped")

func skipped(err error) bool { return errors.Is(err, errNotHere) }

func skipBecause(reason, format string, args ...any) error {
	return issuers.Terminate(reason, format, args...).Because(errNotHere)
}

// session is what is known of one registry before its token server is asked.
type session struct {
	client   *clientOf
	registry connector.Registry
	login    login
	server   tokenServer
}

// start finds the login for a registry and its token server.
func (i *issuer) start(ctx context.Context, req issuers.Request, registry connector.Registry, logins loginSet) (session, error) {
	l, err := logins.forHost(registry.Host)
	if err != nil {
		return session{}, err
	}
	server, err := discover(ctx, req.HTTP, registry)
	if err != nil {
		return session{}, err
	}
	client := &clientOf{http: req.HTTP, id: i.config.clientID(), login: l, server: server, host: registry.Host}
	return session{client: client, registry: registry, login: l, server: server}, nil
}

// obtain asks the token server for what the output needs.
func (i *issuer) obtain(ctx context.Context, s session, result *collector) error {
	entry := connector.Entry{Key: connector.Key{Host: s.registry.Host}, Username: s.login.username}
	switch i.config.Output {
	case Basic:
		if s.login.password.IsZero() {
			return issuers.Terminate("PasswordMissing", "%s holds an identity token for host %s and no password: use output identityToken", s.login.source, s.registry.Host)
		}
		// A password that is refused shows here, not as a client's "no such
		// image".
		if _, err := s.client.token(ctx, nil, false); err != nil {
			return err
		}
		entry.Password = s.login.password
		result.add(entry, lasting(s.login.password))
	case IdentityToken:
		refresh, err := s.client.refreshToken(ctx)
		if err != nil {
			return err
		}
		entry.IdentityToken = refresh
		result.add(entry, lasting(refresh))
	default:
		t, err := s.client.token(ctx, result.wish.scopes(), false)
		if err != nil {
			return err
		}
		if err := i.checkLife(s.registry.Host, t); err != nil {
			return err
		}
		if err := result.checkScope(s, t); err != nil {
			return err
		}
		entry.Username, entry.RegistryToken = "", t.secret
		result.add(entry, t)
	}
	return nil
}

func (i *issuer) checkLife(host string, t token) error {
	least := i.config.minimumLife()
	if rounding := min(time.Second, least/10); t.life+rounding < least {
		return issuers.Terminate("LifeTooShort",
			"the token server of %s lets tokens live %s, shorter than minimumLife %s: raise the token's expiration in the token server's settings, or lower spec.issuer.distributionToken.minimumLife",
			host, t.life.Round(time.Second), least)
	}
	return nil
}

// collector puts the entries of several registries together.
type collector struct {
	strict   bool
	wish     wish
	entries  []connector.Entry
	issued   time.Time
	expires  time.Time
	granted  *connector.Scope // of the wish, by every registry
	wider    connector.Scope  // beyond it, by any
	warnings []string
	skips    []error
}

func (c *collector) skip(err error) { c.skips = append(c.skips, err) }

// add keeps the earliest times: the entries are renewed together.
func (c *collector) add(e connector.Entry, t token) {
	c.entries = append(c.entries, e)
	if c.issued.IsZero() || t.issued.Before(c.issued) {
		c.issued = t.issued
	}
	if !t.expires.IsZero() && (c.expires.IsZero() || t.expires.Before(c.expires)) {
		c.expires = t.expires
	}
	if t.skew.Abs() > maxSkew {
		c.warnings = append(c.warnings, fmt.Sprintf("the clocks of %s's token server and of this node differ by about %s; the schedule allows for it", e.Key.Host, t.skew.Abs().Round(10*time.Second)))
	}
}

// checkScope compares what was granted with what was asked: token servers
// answer 200 with less, or with more, without a word.
func (c *collector) checkScope(s session, t token) error {
	host := s.registry.Host
	if _, told := t.access(); !told {
		c.warnings = append(c.warnings, fmt.Sprintf("the token of %s is opaque: what it grants could not be compared with the scope asked for", host))
	}
	g := c.wish.compare(t)
	if err := c.checkMissing(s, g); err != nil {
		return err
	}
	if len(g.beyond) > 0 {
		text := fmt.Sprintf("the token server of %s grants more than asked for: %s", host, someOf(g.beyond))
		if c.strict {
			return issuers.Deny("ScopeWider", "%s; let it grant what is asked for, or set spec.scopeEnforcement: BestEffort to hand the wider token out", text)
		}
		c.warnings = append(c.warnings, "ScopeWider: "+text)
	}
	granted := g.scope
	if c.granted != nil {
		granted = intersect(*c.granted, granted)
	}
	if nothing(granted) {
		return issuers.Deny("ScopeReduced", "what is granted at %s has nothing in common with what the Connector's other registries grant, so that no one scope can be told: grant the same there, or write a Connector for each registry", host)
	}
	c.granted, c.wider = &granted, union(c.wider, g.wider)
	return nil
}

func (c *collector) checkMissing(s session, g grant) error {
	if len(g.missing) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s is granted less at %s than asked for: no %s", s.login.who(), s.registry.Host, strings.Join(g.missing, ", no "))
	switch {
	case c.strict:
		return issuers.Deny("ScopeReduced", "%s; grant it there, ask for less (spec.scope, volume attributes repositories and actions), or set spec.scopeEnforcement: BestEffort to take what is left", text)
	case nothing(g.scope):
		return issuers.Deny("ScopeReduced", "%s; too little is left to use: grant it there, or ask for less (spec.scope, volume attributes repositories and actions)", text)
	}
	c.warnings = append(c.warnings, "ScopeReduced: "+text)
	return nil
}

func (c *collector) credential(output Output) (*connector.Credential, error) {
	if len(c.entries) == 0 {
		return nil, c.skips[0]
	}
	for _, err := range c.skips {
		c.warnings = append(c.warnings, "left out: "+err.Error())
	}
	cred := &connector.Credential{
		Entries: c.entries, IssuedAt: c.issued, ExpiresAt: c.expires, Warnings: c.warnings,
		LongLived: issuers.OutlivesADay(c.issued, c.expires),
		// A password is the Secret's own content; a refresh token is made anew
		// each time.
		Static: output == Basic,
		Grain:  connector.GrainIdentity,
	}
	if output == RegistryToken {
		cred.Grain, cred.Granted = connector.GrainRepository, union(*c.granted, c.wider)
	}
	return cred, nil
}
