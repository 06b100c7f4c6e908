package render

import (
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// voice is a Source, sorted by host: a volume can have thousands of them.
type voice struct {
	*Source
	registries map[string]Registry
	exact      map[string][]connector.Entry // entries without a glob in the host, in order
	globs      []connector.Entry
	patterns   []string // the globs of a source that is emptied
	// claims are the hosts that the source serves with an entry, or served
	// before it was emptied; a glob claims the declared hosts that it matches,
	// or see silence.
	claims map[string]bool
}

func newVoice(s *Source) *voice {
	v := &voice{
		Source: s, registries: make(map[string]Registry, len(s.Registries)),
		exact: map[string][]connector.Entry{}, claims: map[string]bool{},
	}
	for _, r := range s.Registries {
		if _, twice := v.registries[r.Host]; !twice {
			v.registries[r.Host] = r
		}
	}
	if s.Credential == nil {
		for _, name := range s.Claims {
			if strings.Contains(name, "*") {
				v.patterns = append(v.patterns, name)
				continue
			}
			v.claims[name] = true
		}
		for _, r := range s.Registries {
			v.claims[r.Host] = v.claims[r.Host] || len(s.Claims) == 0
		}
		return v
	}
	for _, e := range s.Credential.Entries {
		if !e.Key.HostGlob() {
			v.exact[e.Key.Host] = append(v.exact[e.Key.Host], e)
			v.claims[e.Key.Host] = true
			continue
		}
		v.globs = append(v.globs, e)
		for _, r := range s.Registries {
			v.claims[r.Host] = v.claims[r.Host] || e.Key.MatchesHost(r.Host)
		}
	}
	return v
}

// silence claims what later voices claim and a glob of this one serves without
// a login, or with one that is emptied, and that matches no declared host.
// Where a login has such a glob, the formats that need hosts refuse it; an
// absence can be kept without them. A later login must not pass by it, be it
// meant so or a login that has ended.
func (v *voice) silence(later []*voice) {
	declared := v.declared()
	for _, glob := range v.absences() {
		if slices.ContainsFunc(declared, glob.MatchesHost) {
			continue
		}
		for _, other := range later {
			for name, claimed := range other.claims {
				v.claims[name] = v.claims[name] || claimed && glob.MatchesHost(name)
			}
		}
	}
}

// absences are the globs for which there is no login.
func (v *voice) absences() []connector.Key {
	var all []connector.Key
	for _, e := range v.globs {
		if e.Anonymous {
			all = append(all, e.Key)
		}
	}
	for _, name := range v.patterns { // of which nobody knows any more which were logins
		all = append(all, connector.Key{Host: name})
	}
	return all
}

// registry is what the source declares for a host; when it does not, public
// trust.
func (v *voice) registry(name string) Registry {
	if r, ok := v.registries[name]; ok {
		return r
	}
	return Registry{Host: name}
}

// entries lists what the source gives for one host by precedence, without what
// can never be chosen.
func (v *voice) entries(name string) []connector.Entry {
	kept, _ := choose(v.matching(name))
	for i := range kept {
		kept[i].Key.Host = name
	}
	return kept
}

// matching lists the source's entries that serve a host, by precedence.
func (v *voice) matching(name string) []connector.Entry {
	matching := slices.Clone(v.exact[name])
	for _, e := range v.globs {
		if e.Key.MatchesHost(name) {
			matching = append(matching, e)
		}
	}
	slices.SortStableFunc(matching, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
	return matching
}

// shadowed is an entry that can never be chosen, because by stands before it.
type shadowed struct{ entry, by connector.Entry }

// choose takes away, from entries of one host by precedence, what can never be
// chosen: an entry whose repositories are all served by one before it.
func choose(matching []connector.Entry) (kept []connector.Entry, lost []shadowed) {
	if len(matching) < 2 {
		return matching, nil
	}
	var paths taken
	for i, e := range matching {
		if by, ok := paths.by(e.Key.Path); ok {
			lost = append(lost, shadowed{e, matching[by]})
			continue
		}
		paths.add(e.Key.Path, i)
		kept = append(kept, e)
	}
	return kept, lost
}
