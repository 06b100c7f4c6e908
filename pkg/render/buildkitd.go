package render

import (
	"bytes"
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	buildkitdFile    = "buildkitd.toml"
	buildkitdPath    = "/etc/buildkit"
	buildkitdComment = "# Registries of this volume. buildkitd reads this file when it starts.\n"
)

// buildkitdConfig is the part of buildkitd.toml that speaks of registries.
// The types are our own because those of buildkitd emit every empty section.
type buildkitdConfig struct {
	Registry map[string]buildkitdRegistry `toml:"registry,omitempty"`
}

type buildkitdRegistry struct {
	Mirrors  []string           `toml:"mirrors,omitempty"` // host[/path]
	HTTP     *bool              `toml:"http,omitempty"`    // false is not the default for loopback hosts
	Insecure bool               `toml:"insecure,omitempty"`
	CA       []string           `toml:"ca,omitempty"`
	KeyPairs []buildkitdKeyPair `toml:"keypair,omitempty"`
}

type buildkitdKeyPair struct {
	Key         string `toml:"key"`
	Certificate string `toml:"cert"`
}

// buildkitd renders buildkitd.toml and the certificates that it names by
// absolute path, because buildkitd resolves relative ones against its working
// directory. Registry passwords are its clients' and have no place here.
func buildkitd(p *plan) (output, error) {
	const name = "buildkitd"
	mount := cmp.Or(p.MountPath, buildkitdPath)
	var out output
	config := buildkitdConfig{Registry: make(map[string]buildkitdRegistry)}
	undeclared := p.undeclaredMirrors()
	for i, h := range p.hosts {
		r := buildkitdRegistry{HTTP: plainHTTP(h.name, h.registry.PlainHTTP)}
		// With both flags buildkitd would try TLS first; plainHTTP says no.
		r.Insecure = h.registry.InsecureSkipVerify && !h.registry.PlainHTTP
		mirrors, omitted := p.mirrors(name, h, undeclared.contradiction)
		out.omitted = append(out.omitted, omitted...)
		for _, m := range mirrors {
			r.Mirrors = append(r.Mirrors, m.location())
			if section, needed := undeclared.section(m); needed {
				config.Registry[m.host] = section
				out.place(p, i, buildkitdFile, m.host)
			}
		}
		// A colon is an ordinary byte of a Linux file name, and the
		// certs.d directories of docker have it too.
		file := "certs/" + h.name
		if ca := h.authorityFile(); len(ca) > 0 {
			out.files = append(out.files, File{Path: file + ".crt", Data: ca})
			out.place(p, i, file+".crt", "")
			r.CA = []string{path.Join(mount, file+".crt")}
		}
		if certificate, key, ok := h.clientPair(); ok {
			// Not *.crt: that could be the CA of another host.
			out.files = append(out.files,
				File{Path: file + ".cert", Data: certificate},
				File{Path: file + ".key", Data: key, Secret: true})
			out.place(p, i, file+".cert", "")
			out.place(p, i, file+".key", "")
			r.KeyPairs = []buildkitdKeyPair{{Key: path.Join(mount, file+".key"), Certificate: path.Join(mount, file+".cert")}}
		}
		if r.HTTP != nil || r.Insecure || len(r.Mirrors)+len(r.CA)+len(r.KeyPairs) > 0 {
			config.Registry[h.name] = r
			out.place(p, i, buildkitdFile, h.name)
		}
	}
	if len(config.Registry) == 0 {
		config.Registry = nil // else an empty table is written
	}
	data, err := encodeTOML(buildkitdComment, config)
	if err != nil {
		return output{}, err
	}
	out.files = append(out.files, File{Path: buildkitdFile, Data: data})
	return out, nil
}

// plainHTTP is the value of http, nil where buildkitd's default holds: it
// takes loopback hosts for plain HTTP unless told otherwise.
func plainHTTP(hostport string, wanted bool) *bool {
	if wanted || loopback(hostport) {
		return &wanted
	}
	return nil
}

func loopback(hostport string) bool {
	name, _ := connector.SplitPort(hostport)
	if name == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && address.IsLoopback()
}

// encodeTOML writes TOML below a comment that says whose it is.
func encodeTOML(comment string, v any) ([]byte, error) {
	b := bytes.NewBufferString(comment)
	enc := toml.NewEncoder(b)
	enc.SetIndentTables(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding TOML: %w", err)
	}
	return b.Bytes(), nil
}
