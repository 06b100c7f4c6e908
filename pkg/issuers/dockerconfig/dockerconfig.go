package dockerconfig

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Kind is the name of the member of spec.issuer.
const Kind = "dockerConfig"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:  "Hands out the logins of an existing config.json, all or those for chosen hosts.",
		Identity: "static: whoever the logins belong to",
		Life:     "as the Secret or ConfigMap: a changed one arrives within seconds; the exp of a JWT can tell an end",
		Static:   true,
		Sharing:  connector.ShareConnector,
	}
	return issuers.Define(Kind, docs, example, func(c Config) issuers.Issuer { return &issuer{config: c} })
}

type issuer struct{ config Config }

// Audiences implements issuers.Issuer: no pod token is needed.
func (*issuer) Audiences() []string { return nil }

// Issue implements issuers.Issuer. It reads the file and takes what is chosen.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	kind, ref := connector.KindSecret, i.config.SecretRef
	if ref == nil {
		kind, ref = connector.KindConfigMap, i.config.ConfigMapRef
	}
	object, err := req.Objects.Object(ctx, kind, ref.Name)
	if err != nil {
		return nil, issuers.ObjectError(kind, ref.Name, err)
	}
	login, err := pullsecret.ReadConfig(object, ref.Key, req.Connector.Ref.Name)
	if err != nil {
		return nil, err
	}
	entries, missing := i.choose(login.Entries)
	owner := fmt.Sprintf("%s %q", kind, ref.Name)
	if len(missing) > 0 {
		return nil, issuers.Terminate("LoginMissing", "%s holds no login for %s: correct hosts, or add the login", owner, strings.Join(missing, ", "))
	}
	m := pullsecret.NewMerger(time.Now())
	m.Warn(login.Warnings...)
	for _, entry := range entries {
		m.Add(owner, entry, time.Time{})
	}
	if m.Len() == 0 {
		return nil, issuers.Terminate(string(kind)+"Expired", "%s: its logins have ended (the last one at %s); renew them", owner, m.Ended()).Because(connector.ErrDenied)
	}
	if kind == connector.KindConfigMap {
		m.Warn(owner + ": whoever may read ConfigMaps can read these logins: move them to a Secret")
	}
	return m.Credential(), nil
}

// choose returns the entries for the chosen hosts, and those hosts, as they
// are written, for which there is none. What a pattern of the file serves is
// handed out for the chosen host alone.
func (i *issuer) choose(all []connector.Entry) (chosen []connector.Entry, missing []string) {
	if len(i.config.Hosts) == 0 {
		return all, nil
	}
	wanted := make([]bool, len(all))
	var narrowed []connector.Entry
	for _, written := range i.config.Hosts {
		host, _ := connector.CanonicalHost(written) // validated
		found := false
		for n, entry := range all {
			if (connector.Key{Host: host}).MatchesHost(entry.Key.Host) {
				found, wanted[n] = true, true
			}
		}
		served := narrow(all, host)
		narrowed = append(narrowed, served...)
		if !found && len(served) == 0 {
			missing = append(missing, written)
		}
	}
	for n, entry := range all {
		if wanted[n] {
			chosen = append(chosen, entry)
		}
	}
	return append(chosen, narrowed...), missing
}

// narrow returns what the file's patterns give for one host, by precedence and
// with the host as their key: not what a more exact entry stands before.
func narrow(all []connector.Entry, host string) []connector.Entry {
	var serving []connector.Entry
	for _, entry := range all {
		if entry.Key.MatchesHost(host) {
			serving = append(serving, entry)
		}
	}
	slices.SortStableFunc(serving, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	var before []connector.Key
	var narrowed []connector.Entry
	for _, entry := range serving {
		path := entry.Key.Path
		if slices.ContainsFunc(before, func(k connector.Key) bool { return k.Matches(host, path) }) {
			continue
		}
		before = append(before, connector.Key{Host: host, Path: path})
		if entry.Key.Host != host { // a pattern
			entry.Key.Host = host
			narrowed = append(narrowed, entry)
		}
	}
	return narrowed
}
