package render

import (
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const daemonFile = "daemon.json"

// daemonConfig is daemon.json with the keys that dockerd 20.10 knows and that
// are needed: one unknown key or value makes it refuse to start. Both are
// always written, because at SIGHUP dockerd keeps what a missing key once said.
type daemonConfig struct {
	InsecureRegistries []string `json:"insecure-registries"`
	RegistryMirrors    []string `json:"registry-mirrors"`
}

// dockerHost is what can be the domain of an image reference: it has no
// underscore, for example. dockerd does not start with others either.
var dockerHost = regexp.MustCompile("^(?:" + reference.DomainRegexp.String() + ")$")

// dockerd renders daemon.json and certs.d. It holds no registry passwords:
// dockerd gets them from its clients.
//
// Docker Hub is special: dockerd reaches it with the system's trust and never
// reads certs.d or insecure-registries for it, under no spelling of its name,
// so such settings are listed as omitted instead of being written in vain.
func dockerd(p *plan) (output, error) {
	const name = "dockerd"
	var out output
	config := daemonConfig{InsecureRegistries: []string{}, RegistryMirrors: []string{}}
	for i, h := range p.hosts {
		mirrors, omitted := p.mirrors(name, h, func(m mirror) string { return dockerdMirror(h, m) })
		out.omitted = append(out.omitted, omitted...)
		for _, m := range mirrors {
			config.RegistryMirrors = append(config.RegistryMirrors, m.String())
			out.place(p, i, daemonFile, "mirror "+m.String())
		}
		if why := p.undeliverable(h.name); why != "" {
			out.omit(name, h, why, append(h.flags(), h.certificates()...)...)
			continue
		}
		// dockerd has one word for both: it then tries unverified TLS, and
		// plain HTTP after that.
		if flags := h.flags(); len(flags) > 0 {
			if why := notInsecure(h.name); why != "" {
				out.omit(name, h, why, flags...)
			} else {
				config.InsecureRegistries = append(config.InsecureRegistries, h.name)
				out.place(p, i, daemonFile, "insecure "+h.name)
			}
		}
		out.certificates(p, i, "certs.d/"+h.name)
	}
	data, err := encodeJSON(config)
	if err != nil {
		return output{}, err
	}
	out.files = append(out.files, File{Path: daemonFile, Data: data})
	return out, nil
}

// undeliverable says why dockerd cannot be told anything about a host.
func (p *plan) undeliverable(name string) string {
	switch {
	case name == connector.DockerHub:
		return "dockerd reaches Docker Hub with the system's trust only"
	case !dockerHost.MatchString(name):
		return "docker allows no image reference with such a host name"
	case !names(name) && !p.mirrorsDockerHub(name):
		return "docker takes " + name + "/image for an image of Docker Hub: give the host a dot or a port"
	}
	return ""
}

// names reports whether docker finds a host in an image reference.
func names(host string) bool {
	named, err := reference.ParseNormalizedNamed(host + "/image")
	return err == nil && reference.Domain(named) == host
}

// mirrorsDockerHub reports whether a host is a mirror of Docker Hub's.
func (p *plan) mirrorsDockerHub(name string) bool {
	hub, ok := p.host(connector.DockerHub)
	return ok && slices.ContainsFunc(hub.registry.Mirrors, func(text string) bool {
		m, why := parseMirror(text)
		return why == "" && m.host == name
	})
}

// notInsecure says why insecure-registries has no place for a host.
func notInsecure(name string) string {
	if _, port := connector.SplitPort(name); strings.HasPrefix(name, "[") && port == "" {
		return "dockerd 20.10 does not start with an IPv6 address without a port in insecure-registries"
	}
	return ""
}

// dockerdMirror says why dockerd 20.10 would refuse or misuse a mirror.
func dockerdMirror(h host, m mirror) string {
	switch {
	case h.name != connector.DockerHub:
		return "dockerd has mirrors of Docker Hub only"
	case m.path != "":
		return "dockerd 20.10 takes mirrors without a path"
	case !dockerHost.MatchString(m.host):
		return "docker allows no host name like this mirror's"
	}
	return ""
}
