package render

import (
	"regexp"

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

// dockerdHost is what dockerd accepts in insecure-registries, and what can be
// the domain of an image reference at all: no underscore, for example.
var dockerdHost = regexp.MustCompile("^(?:" + reference.DomainRegexp.String() + ")$")

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
		omit := func(what, why string) {
			out.omitted = append(out.omitted, Omission{
				Configuration: name, Host: h.name, Connector: h.owner.Connector, What: what, Why: why,
			})
		}
		mirrors, omitted := p.mirrors(name, h, func(m mirror) string { return dockerdMirror(h, m) })
		out.omitted = append(out.omitted, omitted...)
		for _, m := range mirrors {
			config.RegistryMirrors = append(config.RegistryMirrors, m.String())
			out.place(p, i, daemonFile, "mirror "+m.String())
		}
		certificate, key, pair := h.clientPair()
		ca := h.authorityFile()
		insecure := h.registry.PlainHTTP || h.registry.InsecureSkipVerify
		if why := undeliverable(h.name); why != "" {
			for _, setting := range []struct {
				what string
				set  bool
			}{{"plainHTTP", h.registry.PlainHTTP}, {"insecureSkipVerify", h.registry.InsecureSkipVerify}, {"ca", len(ca) > 0}, {"clientCertificate", pair}} {
				if setting.set {
					omit(setting.what, why)
				}
			}
			continue
		}
		// dockerd has one word for both: it then tries unverified TLS, and
		// plain HTTP after that.
		if insecure {
			config.InsecureRegistries = append(config.InsecureRegistries, h.name)
			out.place(p, i, daemonFile, "insecure "+h.name)
		}
		// The directory carries the port, as dockerd looks for it.
		dir := "certs.d/" + h.name + "/"
		if len(ca) > 0 {
			out.files = append(out.files, File{Path: dir + "ca.crt", Data: ca})
			out.place(p, i, dir+"ca.crt", "")
		}
		if pair {
			out.files = append(out.files,
				File{Path: dir + "client.cert", Data: certificate},
				File{Path: dir + "client.key", Data: key, Secret: true})
			out.place(p, i, dir+"client.cert", "")
			out.place(p, i, dir+"client.key", "")
		}
	}
	data, err := encodeJSON(config)
	if err != nil {
		return output{}, err
	}
	out.files = append(out.files, File{Path: daemonFile, Data: data})
	return out, nil
}

// undeliverable says why dockerd cannot be told anything about a host.
func undeliverable(name string) string {
	switch {
	case name == connector.DockerHub:
		return "dockerd reaches Docker Hub with the system's trust only"
	case !dockerdHost.MatchString(name):
		return "docker allows no image reference with such a host name"
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
	case !dockerdHost.MatchString(m.host):
		return "docker allows no host name like this mirror's"
	}
	return ""
}
