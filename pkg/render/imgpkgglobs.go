package render

import (
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// imgpkgPatterns are the globs that imgpkg can be given.
type imgpkgPatterns struct {
	plan    *plan
	kept    []imgpkgLine // by precedence
	dropped []connector.Key
	omitted []Omission
}

// imgpkgPatterns keeps the entries with globs in their hosts as they are, for
// hosts that nobody declared. What would make imgpkg choose wrongly is dropped:
// the declared hosts of such a glob are written out, and without any there is
// an error.
func (p *plan) imgpkgPatterns() (imgpkgPatterns, error) {
	all := imgpkgPatterns{plan: p}
	for _, v := range p.voices {
		for _, name := range v.patterns {
			all.dropped = append(all.dropped, connector.Key{Host: name})
		}
		globs := slices.Clone(v.globs)
		slices.SortStableFunc(globs, func(a, b connector.Entry) int { return connector.Compare(a.Key, b.Key) })
		for _, e := range globs {
			if err := all.add(v, e); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func (a *imgpkgPatterns) add(v *voice, e connector.Entry) error {
	i := slices.IndexFunc(a.kept, func(l imgpkgLine) bool { return l.entry.Key == e.Key })
	if i >= 0 && a.kept[i].voice == v {
		return nil // the first of one connector's own counts
	}
	if err := checkImgpkg(v, e); err != nil {
		return err
	}
	why := a.misleads(e.Key)
	if why == "" {
		a.kept = append(a.kept, imgpkgLine{entry: e, from: e.Key, voice: v})
		a.withoutHub(v, e)
		return nil
	}
	served := slices.ContainsFunc(v.declared(), e.Key.MatchesHost)
	if i < 0 && !served && !a.emptied(e.Key) {
		return connector.Errorf(connector.ErrPrecondition, "configuration %s: connector %s: IMGPKG_REGISTRY_HOSTNAME cannot be %s: %s: list the hosts that it is for in spec.registries", imgpkgName, v.Connector, e.Key, why)
	}
	a.dropped = append(a.dropped, e.Key)
	a.omit(v, e, e.Key.Host, why+": only declared hosts are served")
	return nil
}

func (a *imgpkgPatterns) omit(v *voice, e connector.Entry, host, why string) {
	a.omitted = append(a.omitted, Omission{
		Configuration: imgpkgName, Host: host, Connector: v.Connector, What: "hosts", Value: e.Key.String(), Why: why,
	})
}

// withoutHub notes that imgpkg asks for Docker Hub by a name that a glob, which
// matches another of its names, does not match.
func (a *imgpkgPatterns) withoutHub(v *voice, e connector.Entry) {
	_, planned := a.plan.host(connector.DockerHub)
	if planned || !e.Key.MatchesHost(connector.DockerHub) || e.Key.MatchesHost(imgpkgHub) {
		return
	}
	a.dropped = append(a.dropped, connector.Key{Host: connector.DockerHub, Path: e.Key.Path})
	if !e.Anonymous {
		a.omit(v, e, connector.DockerHub, "imgpkg asks for Docker Hub as "+imgpkgHub+" only")
	}
}

// emptied reports whether a connector without credential may have served what
// the glob serves: the login of another one that waits behind it is no mistake.
func (a *imgpkgPatterns) emptied(k connector.Key) bool {
	for _, v := range a.plan.voices {
		if slices.ContainsFunc(v.patterns, func(name string) bool { return overlap(connector.Key{Host: name}, k) }) {
			return true
		}
	}
	return false
}

// misleads says why imgpkg would choose wrongly if it were given this glob too.
func (a *imgpkgPatterns) misleads(k connector.Key) string {
	for _, h := range a.plan.hosts {
		if strings.HasPrefix(k.Host, imgpkgAddress(connector.Key{Host: h.name})+"*") {
			return "imgpkg would prefer it to " + h.name
		}
	}
	for _, l := range a.kept {
		first := l.entry.Key
		if first == k {
			return "connector " + l.voice.Connector.String() + " serves it first"
		}
		if overlap(first, k) && (imgpkgAddress(first) <= imgpkgAddress(k) || connector.Compare(first, k) > 0) {
			return "it serves hosts that " + first.String() + " of connector " + l.voice.Connector.String() + " serves first, and imgpkg would not choose that"
		}
	}
	for _, first := range a.dropped {
		if overlap(first, k) {
			return "it serves hosts that " + first.String() + " serves first, which is not in the file"
		}
	}
	return ""
}

// overlap reports whether imgpkg could take some image to be served by both.
func overlap(a, b connector.Key) bool {
	if !strings.HasPrefix(a.Path, b.Path) && !strings.HasPrefix(b.Path, a.Path) {
		return false
	}
	if a.MatchesHost(connector.DockerHub) && b.MatchesHost(connector.DockerHub) { // by different names
		return true
	}
	nameA, portA := connector.SplitPort(a.Host)
	nameB, portB := connector.SplitPort(b.Host)
	labelsA, labelsB := strings.Split(nameA, "."), strings.Split(nameB, ".")
	if portA != portB || len(labelsA) != len(labelsB) {
		return false
	}
	for i := range labelsA {
		if !meet(labelsA[i], labelsB[i]) {
			return false
		}
	}
	return true
}

// meet reports whether some text is matched by both patterns, in which * stands
// for any characters. Reach holds, for a prefix of a, with which prefixes of b
// it has a text in common.
func meet(a, b string) bool {
	reach := make([]bool, len(b)+1)
	for i := 0; i <= len(a); i++ {
		next := make([]bool, len(b)+1)
		for j := range next {
			switch {
			case i == 0 && j == 0:
				next[j] = true
			case i > 0 && a[i-1] == '*':
				next[j] = reach[j] || j > 0 && next[j-1]
			case j > 0 && b[j-1] == '*':
				next[j] = next[j-1] || i > 0 && reach[j]
			default:
				next[j] = i > 0 && j > 0 && a[i-1] == b[j-1] && reach[j-1]
			}
		}
		reach = next
	}
	return reach[len(b)]
}
