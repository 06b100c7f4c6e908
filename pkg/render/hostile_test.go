package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzFiles renders every configuration from what strangers write: where the
// pod mounts the volume, which files it leaves out, which hosts and mirrors
// the Connector names. Nothing of it breaks out of the value, or the file, in
// which it belongs, and no secret stands in a file that is none.
func FuzzFiles(f *testing.F) {
	const password = "hunter2-hunter2"
	f.Add("reg.io", "https://mirror.io/dockerhub", "/etc/buildkit", "config.json")
	f.Add("reg.io:5000", "http://m\"] \nca = [\"/evil", "/etc/\"]\nca = [\"/evil", "")
	f.Add("[::1]:5000", "https://[::1]/x", "/'''\"\"\"", "certs/reg.io.crt")
	f.Add("docker.io", "https://u:p@m.io/?q#f", "/../x", "../x")
	f.Add("a\nb", "https://m.io/a b", "//", "regcred.json")
	f.Add("reg.io", "HTTPS://M.IO:443//x//", "/\u202e\u00e9\\", "certs")
	f.Add("x-y_z.io", "https://m.io/\\\"{}[]=#", "/a=b # c", "buildkitd.toml\nx")
	f.Add("reg.io:5000", "https://[fd00:0::1]:5000/a", "", "reg.io:5000/")
	f.Add("[fd00::1]", "https://m.io/%2e%2e/%23/%5d", "", "docker.io/hosts.toml")
	f.Add("docker.io", "http://docker.io/a]b[c'd", "", "!ca.crt")
	f.Fuzz(func(t *testing.T, host, mirror, mount, exclude string) {
		key, err := connector.ParseKey(host)
		if err != nil || key.HostGlob() {
			return
		}
		s := with(source("fuzz", connector.Entry{Key: key, Username: "u", Password: connector.NewSecret(password)}), render.Registry{
			Host: key.Host, CA: certificate("ca"), ClientCertificate: certificate("client"), ClientKey: connector.NewSecret(password + "-key"), Mirrors: []string{mirror},
		})
		for _, name := range render.Names() {
			in := render.Input{Configurations: []string{name}, Sources: []render.Source{s}, MountPath: mount}
			if exclude != "" {
				in.Exclude = []string{exclude}
			}
			checkHostile(t, in, key.Host, password)
		}
	})
}

// checkHostile renders twice and looks at each file.
func checkHostile(t *testing.T, in render.Input, host, password string) {
	t.Helper()
	files, err := render.Render(in)
	if err != nil {
		if !errors.Is(err, connector.ErrInvalid) && !errors.Is(err, connector.ErrPrecondition) || strings.Contains(err.Error(), password) {
			t.Errorf("refused: %v", err)
		}
		return
	}
	again, err := render.Render(in)
	if diff := cmp.Diff(files, again); diff != "" || err != nil {
		t.Error(diff, err)
	}
	mount := in.MountPath
	if mount == "" {
		mount = "/etc/buildkit"
	}
	for _, file := range files {
		if !fs.ValidPath(file.Path) || strings.HasPrefix(file.Path, "..") || strings.ContainsFunc(file.Path, unicode.IsControl) {
			t.Errorf("renders %q", file.Path)
		}
		if !file.Secret && bytes.Contains(file.Data, []byte(password)) {
			t.Errorf("%s holds a secret", file.Path)
		}
		switch base := path.Base(file.Path); {
		case path.Ext(base) == ".json":
			if !json.Valid(file.Data) {
				t.Errorf("%s is not JSON: %q", file.Path, file.Data)
			}
		case base == "buildkitd.toml":
			checkBuildkitd(t, file.Data, host, mount)
		case base == "hosts.toml":
			checkContainerd(t, file.Data, path.Dir(file.Path), host)
		case base == "registries.conf":
			checkRegistries(t, file.Data, host)
		}
	}
}

// checkContainerd reads the file of the one host as containerd does and looks
// for anything that was not meant. containerd 1.6 takes the first bracket in
// the name of a table for its end, and knows no escapes there.
func checkContainerd(t *testing.T, text []byte, dir, host string) {
	t.Helper()
	type table struct {
		Capabilities []string    `toml:"capabilities"`
		CA           string      `toml:"ca"`
		Client       [][2]string `toml:"client"`
		SkipVerify   bool        `toml:"skip_verify"`
		OverridePath bool        `toml:"override_path"`
	}
	var config struct {
		table
		Server string            `toml:"server"`
		Host   *map[string]table `toml:"host"`
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&config); err != nil {
		t.Fatalf("not the TOML that containerd reads: %v\n%s", err, text)
	}
	name := host
	if name == connector.DockerHub {
		name = "registry-1.docker.io"
	}
	own := table{CA: "ca.crt", Client: [][2]string{{"client.cert", "client.key"}}}
	if dir != host || config.Server != "https://"+name || config.Host == nil || cmp.Diff(own, config.table) != "" {
		t.Fatalf("%s of %q:\n%s", dir, host, text)
	}
	for name, m := range *config.Host {
		u, err := url.Parse(name)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != path.Clean(u.Path) ||
			strings.ContainsAny(name, "[]\"'\\") || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("a mirror %q: %v", name, err)
			continue
		}
		if m.OverridePath != strings.HasPrefix(u.Path, "/v2/") || !m.OverridePath && u.Path != "" || m.SkipVerify {
			t.Errorf("a mirror %q: %+v", name, m)
		}
		if canonical, err := connector.CanonicalHost(u.Host); err != nil || canonical != host && (m.CA != "" || m.Client != nil) {
			t.Errorf("trust for %q: %+v", name, m)
		}
	}
}

// checkBuildkitd reads the file as buildkitd does and looks for anything that
// was not meant.
func checkBuildkitd(t *testing.T, text []byte, host, mount string) {
	t.Helper()
	var config struct {
		Registry map[string]struct {
			Mirrors  []string `toml:"mirrors"`
			HTTP     *bool    `toml:"http"`
			Insecure bool     `toml:"insecure"`
			CA       []string `toml:"ca"`
			KeyPairs []struct {
				Key  string `toml:"key"`
				Cert string `toml:"cert"`
			} `toml:"keypair"`
		} `toml:"registry"`
	}
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		t.Fatalf("not the TOML that buildkitd reads: %v\n%s", err, text)
	}
	for name, r := range config.Registry {
		if canonical, err := connector.CanonicalHost(name); err != nil || canonical != name && !strings.Contains(name, "docker.io") {
			t.Errorf("a section for %q", name)
		}
		for _, m := range r.Mirrors {
			if strings.ContainsAny(m, "\"'\\ ") || strings.ContainsFunc(m, unicode.IsControl) {
				t.Errorf("a mirror %q", m)
			}
		}
		if name != host {
			if len(r.CA)+len(r.KeyPairs)+len(r.Mirrors) > 0 || r.Insecure {
				t.Errorf("trust for %q: %+v", name, r)
			}
			continue
		}
		file := path.Join(mount, "certs", host)
		if len(r.CA) != 1 || r.CA[0] != file+".crt" || len(r.KeyPairs) != 1 || r.KeyPairs[0].Key != file+".key" || r.KeyPairs[0].Cert != file+".cert" || r.Insecure {
			t.Errorf("the section of %q mounted at %q: %+v", name, mount, r)
		}
	}
}

// checkRegistries reads the file as containers/image does and looks for
// anything that was not meant.
func checkRegistries(t *testing.T, text []byte, host string) {
	t.Helper()
	type endpoint struct {
		Location string `toml:"location"`
		Insecure bool   `toml:"insecure"`
	}
	var config struct {
		Registries []struct {
			endpoint
			Prefix  string     `toml:"prefix"`
			Mirrors []endpoint `toml:"mirror"`
		} `toml:"registry"`
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&config); err != nil {
		t.Fatalf("not the TOML that containers/image reads: %v\n%s", err, text)
	}
	for _, r := range config.Registries {
		if len(config.Registries) != 1 || r.Prefix != host || r.Location != host || r.Insecure || len(r.Mirrors) != 1 {
			t.Errorf("the sections of %q: %+v", host, config.Registries)
		}
		for _, m := range r.Mirrors {
			at, _, _ := strings.Cut(m.Location, "/")
			if named, err := reference.ParseNamed(m.Location + "/team/app"); err != nil || reference.Domain(named) != at {
				t.Errorf("a mirror %q: %v", m.Location, err)
			}
		}
	}
}
