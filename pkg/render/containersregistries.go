package render

import (
	"cmp"
	"strings"

	"github.com/distribution/reference"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	registriesFile    = "registries.conf"
	registriesComment = "# Registries of this volume, for podman, buildah and skopeo.\n"
)

// registriesConf is registries.conf, version 2. What it does not say, above
// all where unqualified names are searched, is the image's own business.
type registriesConf struct {
	Registries []registryConf `toml:"registry,omitempty"`
}

type registryConf struct {
	Prefix   string       `toml:"prefix"`
	Location string       `toml:"location"`
	Insecure bool         `toml:"insecure,omitempty"`
	Mirrors  []mirrorConf `toml:"mirror,omitempty"`
}

type mirrorConf struct {
	Location string `toml:"location"` // host[/path]
	Insecure bool   `toml:"insecure,omitempty"`
}

// containersRegistries renders registries.conf. It has one word for plain HTTP
// and for TLS that nobody verifies; how a mirror is reached stands beside the
// mirror, whatever the section of its host says.
//
// A prefix without a port also serves every port of that host, so a declared
// port has a section of its own wherever the bare name has one: the longer
// prefix wins.
func containersRegistries(p *plan) (output, error) {
	const (
		name      = "containers-registries"
		elsewhere = "registries.conf holds no certificates: mount a volume with configuration certs-d at /etc/containers/certs.d"
		anyPort   = "a section without a port also counts for those ports of the host that no connector declares: what it says of TLS and mirrors holds there, too"
	)
	var out output
	var config registriesConf
	sections := make(map[string]bool)
	for i, h := range p.hosts { // a bare name sorts before its ports
		unnamed := unreferableHost(h.name)
		mirrors, omitted := p.mirrors(name, h, func(m mirror) string { return cmp.Or(unnamed, unreferable(m.imageLocation())) })
		out.omitted = append(out.omitted, omitted...)
		out.omit(name, h, cmp.Or(unnamed, elsewhere), h.certificates()...)
		if unnamed != "" {
			out.omit(name, h, unnamed, h.flags()...)
			continue
		}
		bare, _ := connector.SplitPort(h.name)
		if !h.insecure() && len(mirrors) == 0 && !sections[bare] {
			continue
		}
		r := registryConf{Prefix: h.name, Location: h.name, Insecure: h.insecure()}
		for _, m := range mirrors {
			r.Mirrors = append(r.Mirrors, mirrorConf{Location: m.imageLocation(), Insecure: p.insecureMirror(m)})
		}
		config.Registries = append(config.Registries, r)
		sections[h.name] = true
		if h.name == bare && h.name != connector.DockerHub { // whose images name no port
			out.omit(name, h, anyPort, "ports")
		}
		out.place(p, i, registriesFile, h.name)
	}
	data, err := encodeTOML(registriesComment, config)
	out.files = []File{{Path: registriesFile, Data: data}}
	return out, err
}

func (h host) insecure() bool { return len(h.flags()) > 0 }

// insecureMirror follows the entry of the mirror's own host; where no
// connector speaks for it, the URL.
func (p *plan) insecureMirror(m mirror) bool {
	if h, spoken := p.mirrorHost(m); spoken {
		return h.insecure()
	}
	return m.scheme == "http"
}

// imageLocation is the location with the name that containers/image has for
// Docker Hub.
func (m mirror) imageLocation() string {
	if name, err := connector.CanonicalHost(m.host); err == nil {
		m.host = name
	}
	return m.location()
}

func unreferableHost(name string) string {
	if name == connector.DockerHub { // its images have two segments at least
		return ""
	}
	return unreferable(name)
}

// unreferable says why containers/image has no reference to an image below a
// location. As a mirror it would fail every pull of the host.
func unreferable(location string) string {
	if strings.HasPrefix(location, "[") {
		return "podman, buildah and skopeo know no image reference with an IPv6 address"
	}
	host, _, _ := strings.Cut(location, "/")
	// What is no host, for its underscore, could pass for a repository's name.
	if named, err := reference.ParseNamed(location + "/image"); err != nil || reference.Domain(named) != host {
		return "podman, buildah and skopeo know no image reference like " + location + "/image: a host needs a dot or a port and no underscore, a path is that of a repository"
	}
	return ""
}
