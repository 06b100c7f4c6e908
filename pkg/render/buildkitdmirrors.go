package render

// undeclaredMirrors are the hosts of mirrors of which no connector says how
// they are reached, and whether some URL says https. buildkitd has one word for
// each host, in its own section: where the URLs disagree, TLS counts, lest one
// connector take it from what another one reaches with it.
type undeclaredMirrors map[string]bool

func (p *plan) undeclaredMirrors() undeclaredMirrors {
	all := make(undeclaredMirrors)
	for _, h := range p.hosts {
		for _, text := range h.registry.Mirrors {
			m, why := parseMirror(text)
			if _, spoken := p.mirrorHost(m); why == "" && !spoken {
				all[m.host] = all[m.host] || m.scheme == "https"
			}
		}
	}
	return all
}

// contradiction says where the URL of a mirror disagrees with another one.
func (u undeclaredMirrors) contradiction(m mirror) string {
	if u[m.host] && m.scheme == "http" {
		return "the URL says http, another mirror's says https for the same host, and buildkitd has one word for both: declare the host in spec.registries"
	}
	return ""
}

// section is that of a mirror's host, where buildkitd's default does not hold.
func (u undeclaredMirrors) section(m mirror) (r buildkitdRegistry, needed bool) {
	https, undeclared := u[m.host]
	if !undeclared {
		return r, false
	}
	r.HTTP = plainHTTP(m.host, !https)
	return r, r.HTTP != nil
}
