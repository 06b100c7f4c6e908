package render

import (
	"net/url"
	"path"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// mirror is the URL of a mirror, taken apart.
type mirror struct {
	scheme string // http or https
	host   string // host[:port]
	path   string // without outer slashes
}

// parseMirror reads a mirror's URL; why says what no format can express. Even
// then the mirror holds what may be shown: scheme, host and path, never a user
// or a query, where a secret could hide.
func parseMirror(text string) (m mirror, why string) {
	u, err := url.Parse(text)
	if err != nil {
		return mirror{}, "it is not a URL"
	}
	m = mirror{scheme: strings.ToLower(u.Scheme), host: strings.ToLower(u.Host), path: strings.Trim(u.Path, "/")}
	switch canonical, err := connector.CanonicalHost(m.host); {
	case m.scheme != "http" && m.scheme != "https":
		return mirror{}, "a mirror's URL starts with http:// or https://"
	case err != nil || strings.Contains(canonical, "*"):
		return mirror{}, "its host is not host or host:port"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return m, "a mirror's URL has no user, query or fragment; credentials are those of the mirror's own host"
	case hasControl(m.path) || strings.ContainsAny(m.path, " \"'\\?#%") || path.Clean("/"+m.path) != "/"+m.path:
		return mirror{}, "its path is not a repository path"
	case canonical != connector.DockerHub: // whose names are one host, but not one address
		m.host = canonical
	}
	return m, ""
}

// String gives the URL.
func (m mirror) String() string {
	if m.host == "" {
		return ""
	}
	return strings.TrimSuffix(m.scheme+"://"+m.location(), "/")
}

// location is host[/path].
func (m mirror) location() string { return strings.TrimSuffix(m.host+"/"+m.path, "/") }

// mirrors returns the mirrors of a host that a format can express, judged by
// fits (empty = yes), and what it leaves out.
func (p *plan) mirrors(configuration string, h host, fits func(mirror) string) (kept []mirror, omitted []Omission) {
	for _, text := range h.registry.Mirrors {
		m, why := parseMirror(text)
		if why == "" {
			why = p.contradiction(m)
		}
		if why == "" {
			why = fits(m)
		}
		if why == "" {
			kept = append(kept, m)
			continue
		}
		omitted = append(omitted, Omission{
			Configuration: configuration, Host: h.name, Connector: h.owner.Connector, What: "mirror", Value: m.String(), Why: why,
		})
	}
	return kept, omitted
}

// mirrorHost is what a connector says of the mirror's own host.
func (p *plan) mirrorHost(m mirror) (*host, bool) {
	name, err := connector.CanonicalHost(m.host)
	if err != nil {
		return nil, false
	}
	return p.host(name)
}

// contradiction says where the URL of a mirror disagrees with the entry of
// the mirror's own host: that entry decides how the host is reached.
func (p *plan) contradiction(m mirror) string {
	h, spoken := p.mirrorHost(m)
	switch {
	case !spoken || h.registry.PlainHTTP == (m.scheme == "http"):
		return ""
	case h.registry.PlainHTTP:
		return "the URL says https, and connector " + h.owner.Connector.String() + " declares plainHTTP for the mirror's host"
	default:
		return "the URL says http, and connector " + h.owner.Connector.String() + " does not declare plainHTTP for the mirror's host"
	}
}
