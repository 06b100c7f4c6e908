package render

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	containerdFile    = "hosts.toml"
	containerdComment = "# How containerd reaches this host. It reads the file at each pull and push.\n"
	// dockerHubAddress is where the images of docker.io are.
	dockerHubAddress = "registry-1.docker.io"
)

// containerdServer is the head of hosts.toml: the host itself, which containerd
// asks after its mirrors.
type containerdServer struct {
	Server string `toml:"server"`
	containerdTrust
}

// containerdMirror is the table of a mirror, which answers for what it holds
// and is never pushed to.
type containerdMirror struct {
	Capabilities []string `toml:"capabilities"`
	OverridePath bool     `toml:"override_path,omitempty"`
	containerdTrust
}

// containerdTrust is how a TLS connection is made. containerd resolves relative
// paths against the directory of hosts.toml, wherever it is mounted.
type containerdTrust struct {
	CA         string      `toml:"ca,omitempty"`
	Client     [][2]string `toml:"client,omitempty"`
	SkipVerify bool        `toml:"skip_verify,omitempty"`
}

// containerd renders a directory for each host of which there is something to
// say, for containerd's config_path and the --hosts-dir of ctr and nerdctl:
// hosts.toml and the certificates that it names. Registry passwords have no
// place there: containerd gets them from its clients.
//
// A directory is called host:port: containerd finds that on Linux as it finds
// host_port_, and docker and podman know no other spelling.
func containerd(p *plan) (output, error) {
	const name = "containerd"
	var out output
	for i, h := range p.hosts {
		mirrors, omitted := p.mirrors(name, h, containerdMissing)
		out.omitted = append(out.omitted, omitted...)
		// Loopback hosts are taken for plain HTTP unless told otherwise.
		if len(mirrors)+len(h.flags())+len(h.certificates()) == 0 && !loopback(h.name) {
			continue
		}
		if !h.registry.PlainHTTP {
			out.certificates(p, i, h.name)
		}
		if err := out.hostsTOML(p, &p.hosts[i], mirrors); err != nil {
			return output{}, err
		}
	}
	return out, nil
}

// containerdMissing says why containerd cannot be given a mirror.
func containerdMissing(m mirror) string {
	if strings.HasPrefix(m.host, "[") {
		return "containerd 1.6 reads no file with brackets in the name of a table, and a mirror's table is named after its URL"
	}
	return ""
}

// hostsTOML renders the hosts.toml of one host.
func (o *output) hostsTOML(p *plan, h *host, mirrors []mirror) error {
	file := h.name + "/" + containerdFile
	place := func(h *host, entry string) {
		o.placed = append(o.placed, placed{file: file, entry: entry, plan: p, host: h})
	}
	server := address(h.scheme(), h.name, "")
	place(h, "server "+server)
	text, err := encodeTOML(containerdComment, containerdServer{Server: server, containerdTrust: h.trust("")})
	if err != nil {
		return err
	}
	// containerd 1.6 reads no file without this table.
	text = append(text, "\n[host]\n"...)
	written := make(map[string]bool, len(mirrors))
	for _, m := range mirrors {
		url, table := m.containerd()
		if written[url] { // TOML knows no table twice
			continue
		}
		written[url] = true
		place(h, "mirror "+url)
		if own, spoken := p.mirrorHost(m); spoken {
			table.containerdTrust = own.trust("../" + own.name + "/")
			if table.said() {
				place(own, "trust of mirror "+url)
			}
		}
		// Quoting as Go's is TOML's for the ASCII that a URL has. The encoder
		// would sort the tables, and their order is that of the mirrors.
		section, err := encodeTOML("\n[host."+strconv.Quote(url)+"]\n", table)
		if err != nil {
			return err
		}
		text = append(text, section...)
	}
	o.files = append(o.files, File{Path: file, Data: text})
	return nil
}

// containerd gives a mirror's URL and table. containerd would add /v2 behind
// the path, and a registry has it before.
func (m mirror) containerd() (string, containerdMirror) {
	table := containerdMirror{Capabilities: []string{"pull", "resolve"}}
	if m.path == "" {
		return address(m.scheme, m.host, ""), table
	}
	table.OverridePath = true
	return address(m.scheme, m.host, "/v2/"+m.path), table
}

// address is the URL of a registry.
func address(scheme, name, path string) string {
	if name == connector.DockerHub {
		name = dockerHubAddress
	}
	u := url.URL{Scheme: scheme, Host: name, Path: path}
	return u.String()
}

// said reports whether anything but public trust is meant.
func (t containerdTrust) said() bool { return t.CA != "" || t.Client != nil || t.SkipVerify }

func (h *host) scheme() string {
	if h.registry.PlainHTTP {
		return "http"
	}
	return "https"
}

// trust is what hosts.toml says of TLS with a host whose certificates are in
// dir. With plain HTTP it is nothing: containerd 2 would try TLS first.
func (h *host) trust(dir string) containerdTrust {
	var t containerdTrust
	if h.registry.PlainHTTP {
		return t
	}
	t.SkipVerify = h.registry.InsecureSkipVerify
	if len(h.authorities) > 0 {
		t.CA = dir + authorityName
	}
	if _, _, ok := h.clientPair(); ok {
		t.Client = [][2]string{{dir + clientCertificateName, dir + clientKeyName}}
	}
	return t
}
