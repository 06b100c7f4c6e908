package formats

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// The plan of a volume in other words than the code's: slow, and one
// repository at a time.

// owner is the connector whose word counts for a host: the first that serves
// it with an entry, or else the first that declares it.
func owner(sources []render.Source, host string) *render.Source {
	for i := range sources {
		if claims(sources, i, host) {
			return &sources[i]
		}
	}
	for i := range sources {
		if declares(sources[i], host) {
			return &sources[i]
		}
	}
	return nil
}

func declares(s render.Source, host string) bool {
	return slices.ContainsFunc(s.Registries, func(r render.Registry) bool { return r.Host == host })
}

// claims: a glob serves the hosts that its connector declares. One without a
// login, or emptied, that serves none of them stands before the later
// connectors' hosts.
func claims(sources []render.Source, at int, host string) bool {
	s := sources[at]
	idle := func(k connector.Key) bool {
		return k.HostGlob() && k.MatchesHost(host) && !slices.ContainsFunc(s.Registries, func(r render.Registry) bool { return k.MatchesHost(r.Host) }) &&
			slices.ContainsFunc(sources[at+1:], func(later render.Source) bool { return claims([]render.Source{later}, 0, host) })
	}
	if s.Credential == nil {
		return slices.Contains(s.Claims, host) || len(s.Claims) == 0 && declares(s, host) ||
			slices.ContainsFunc(s.Claims, func(name string) bool { return idle(connector.Key{Host: name}) })
	}
	return slices.ContainsFunc(s.Credential.Entries, func(e connector.Entry) bool {
		return e.Key.MatchesHost(host) && (!e.Key.HostGlob() || declares(s, host)) || e.Anonymous && idle(e.Key)
	})
}

// winner is the entry that a repository gets, none when there is none.
func winner(sources []render.Source, host, repository string) (connector.Entry, bool) {
	s := owner(sources, host)
	if s == nil || s.Credential == nil {
		return connector.Entry{}, false
	}
	return best(s.Credential.Entries, host, repository)
}

func best(entries []connector.Entry, host, repository string) (best connector.Entry, ok bool) {
	for _, e := range entries {
		if e.Key.Matches(host, repository) && (!ok || connector.Compare(e.Key, best.Key) < 0) {
			best, ok = e, true
		}
	}
	return best, ok
}

// declaration is what counts for a host.
func declaration(sources []render.Source, host string) render.Registry {
	if s := owner(sources, host); s != nil {
		for _, r := range s.Registries {
			if r.Host == host {
				return r
			}
		}
	}
	return render.Registry{Host: host}
}

// story tells the entries of a volume.
func story(sources []render.Source) string {
	var b strings.Builder
	for _, s := range sources {
		fmt.Fprintf(&b, "%s declares", s.Connector.Name)
		for _, r := range s.Registries {
			b.WriteString(" " + r.Host)
		}
		fmt.Fprintf(&b, ", claims %v\n", s.Claims)
		if s.Credential == nil {
			continue
		}
		for _, e := range s.Credential.Entries {
			fmt.Fprintf(&b, "  %s: %s %q %q %q\n", e.Key, e.Username, e.Password.Reveal(), e.IdentityToken.Reveal(), e.RegistryToken.Reveal())
		}
	}
	return b.String()
}
