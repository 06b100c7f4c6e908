package render_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenNames keeps colons out of the repository: module archives forbid them
// in file names.
var goldenNames = strings.NewReplacer(":", "%3A")

func TestGolden(t *testing.T) {
	all := cases()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(all[name])
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, f := range files {
				got[goldenNames.Replace(f.Path)] = string(f.Data)
			}
			dir := filepath.Join("testdata", name)
			if *update {
				writeGolden(t, dir, got)
			}
			if diff := cmp.Diff(readGolden(t, dir), got); diff != "" {
				t.Errorf("files differ from %s (-want +got); run with -update when the change is meant:\n%s", dir, diff)
			}
		})
	}
	known, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range known {
		if _, ok := all[entry.Name()]; !ok && entry.Name() != "fuzz" {
			t.Errorf("testdata/%s belongs to no case", entry.Name())
		}
	}
}

func writeGolden(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readGolden(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Every case: the same bytes each time, sorted paths, and secrets only in
// files that are marked, and never in regcred.json.
func TestRenderProperties(t *testing.T) {
	for name, in := range cases() {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(in)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(files, func(a, b render.File) int { return strings.Compare(a.Path, b.Path) }) {
				t.Errorf("not sorted: %v", files)
			}
			for range 10 {
				again, err := render.Render(cases()[name])
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(files, again); diff != "" {
					t.Fatalf("rendered anew (-first +again):\n%s", diff)
				}
			}
			for _, f := range files {
				if len(f.Data) == 0 != f.Program {
					t.Errorf("%s: %d bytes", f.Path, len(f.Data))
				}
				if leaks := holdsCanary(f.Data); leaks && !f.Secret {
					t.Errorf("%s holds a secret and is not marked", f.Path)
				}
				if filepath.Base(f.Path) == "regcred.json" && f.Secret {
					t.Errorf("%s is marked secret", f.Path)
				}
				if printed := fmt.Sprintf("%v %+v %#v %s", f, f, f, f); strings.Contains(printed, canary) {
					t.Errorf("printing %s shows its content", f.Path)
				}
			}
		})
	}
}

// holdsCanary looks for a secret as it is and inside base64 words.
func holdsCanary(data []byte) bool {
	if bytes.Contains(data, []byte(canary)) {
		return true
	}
	for word := range strings.FieldsFuncSeq(string(data), func(r rune) bool { return strings.ContainsRune("\" \n,:{}", r) }) {
		if plain, err := base64.StdEncoding.DecodeString(word); err == nil && bytes.Contains(plain, []byte(canary)) {
			return true
		}
	}
	return false
}

func TestSecretMarks(t *testing.T) {
	marked := func(name string) []string {
		files, err := render.Render(cases()[name])
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, f := range files {
			if f.Secret {
				paths = append(paths, f.Path)
			}
		}
		return paths
	}
	want := []string{".dockerconfigjson", "auth", "certs.d/single.example:5000/client.key", "certs/single.example:5000.key", "config.json", "password", "username"}
	if diff := cmp.Diff(want, marked("everything")); diff != "" {
		t.Errorf("marked files (-want +got):\n%s", diff)
	}
	if got := marked("docker-config-anonymous"); got != nil {
		t.Errorf("anonymous: marked %v", got)
	}
}

// What belongs to an emptied connector disappears; CAs and mirrors stay.
func TestEmptied(t *testing.T) {
	everything := slices.DeleteFunc(render.Names(), func(name string) bool { return name == "docker-helper" }) // config.json is docker-config's here
	full, err := render.Render(render.Input{Configurations: everything, Sources: cases()["everything"].Sources})
	if err != nil {
		t.Fatal(err)
	}
	gone := cases()["everything"].Sources[0]
	gone.Credential, gone.Emptied = nil, "expired"
	left, err := render.Render(render.Input{Configurations: everything, Sources: []render.Source{gone}})
	if err != nil {
		t.Fatal(err)
	}
	unchanged := make(map[string]bool)
	for _, f := range left {
		if f.Secret || holdsCanary(f.Data) {
			t.Errorf("%s still holds a secret", f.Path)
		}
		i := slices.IndexFunc(full, func(o render.File) bool { return o.Path == f.Path })
		unchanged[f.Path] = i >= 0 && bytes.Equal(full[i].Data, f.Data)
	}
	want := map[string]bool{
		".dockerconfigjson": false, "auth.json": false, "registries.conf": true, "buildkitd.toml": false, "config.json": false, "regcred.json": false,
		"single.example:5000/ca.crt": true, "single.example:5000/hosts.toml": false, "docker.io/hosts.toml": false, "registry.env": false,
		"ca.crt": true, "certs.d/single.example:5000/ca.crt": true, "certs/single.example:5000.crt": true, "daemon.json": true,
	}
	if diff := cmp.Diff(want, unchanged); diff != "" {
		t.Errorf("files and whether they are unchanged (-want +got):\n%s", diff)
	}
}

// The order of sources decides, and nothing else does.
func TestSourceOrder(t *testing.T) {
	a := source("a", basic("x.example", "a", "a"))
	b := source("b", basic("x.example", "b", "b"))
	for _, sources := range [][]render.Source{{a, b}, {b, a}} {
		files, err := render.Render(input("docker-config", sources...))
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Auths map[string]struct{ Auth []byte }
		}
		if err := json.Unmarshal(data(t, files, "config.json"), &got); err != nil {
			t.Fatal(err)
		}
		first := sources[0].Connector.Name
		if want := first + ":" + canary + first; string(got.Auths["x.example"].Auth) != want {
			t.Errorf("first connector %s: auth %q, want %q", first, got.Auths["x.example"].Auth, want)
		}
		var report render.Report
		if err := json.Unmarshal(data(t, files, "regcred.json"), &report); err != nil {
			t.Fatal(err)
		}
		want := []render.Loss{{Host: "x.example", Connector: sources[1].Connector, To: sources[0].Connector, What: []string{"credential"}}}
		if diff := cmp.Diff(want, report.Lost); diff != "" {
			t.Errorf("lost (-want +got):\n%s", diff)
		}
	}
}

func data(t *testing.T, files render.Files, path string) []byte {
	t.Helper()
	i := slices.IndexFunc(files, func(f render.File) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("%s is not rendered; there are %v", path, files)
	}
	return files[i].Data
}

func TestNames(t *testing.T) {
	if diff := cmp.Diff([]string{"buildkitd", "buildx-scoped", "certs-d", "containerd", "containers-auth", "containers-registries", "docker-config", "docker-helper", "dockerd", "fields", "imgpkg-env"}, render.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"docker-config": "docker-config", "registry-config": "docker-config", "dockerd": "dockerd", "Dockerd": "", "": ""} {
		if got, ok := render.Canonical(name); got != want || ok != (want != "") {
			t.Errorf("Canonical(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

// A configuration named twice, also by its alias, is rendered once.
func TestAliasAndRepetition(t *testing.T) {
	in := cases()["docker-config-one"]
	want, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Configurations = []string{"registry-config", "docker-config"}
	got, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	known := strings.Join(render.Names(), ", ")
	harbor := source("harbor", basic("harbor.example.com", "robot", "harbor"))
	text := func(change func(*connector.Entry)) render.Source {
		e := basic("harbor.example.com", "robot", "harbor")
		change(&e)
		return source("harbor", e)
	}
	field := func(name string) render.Source {
		s := source("harbor", basic("harbor.example.com", "robot", "harbor"))
		s.Credential.Fields = map[string]connector.Secret{name: connector.NewSecret("x")}
		return s
	}
	tests := []struct {
		name  string
		in    render.Input
		class error
		want  string
	}{
		{
			"no configuration",
			render.Input{Sources: []render.Source{harbor}},
			connector.ErrInvalid,
			"configuration.names names no configuration: write one or more of " + known,
		},
		{
			"unknown configuration", input("registries", harbor), connector.ErrInvalid,
			`configuration "registries" is not known: write one or more of ` + known,
		},
		{
			"unknown exclusion",
			render.Input{Configurations: []string{"docker-config"}, Sources: []render.Source{harbor}, Exclude: []string{"!daemon.json"}},
			connector.ErrInvalid,
			`"!daemon.json" in configuration.names leaves out a file that the volume does not have; it has config.json, regcred.json`,
		},
		{
			"report excluded",
			render.Input{Configurations: []string{"docker-config"}, Sources: []render.Source{harbor}, Exclude: []string{"config.json", "!regcred.json"}},
			connector.ErrInvalid,
			`"!regcred.json" in configuration.names: every volume carries this file, by which its content is explained: leave the item away`,
		},
		{
			"relative mount path",
			render.Input{Configurations: []string{"buildkitd"}, Sources: []render.Source{harbor}, MountPath: "etc/buildkit"},
			connector.ErrInvalid,
			`mount.path "etc/buildkit": write the absolute path at which the container mounts the volume, such as /etc/buildkit`,
		},
		{
			"mount path with dots",
			render.Input{Configurations: []string{"buildkitd"}, Sources: []render.Source{harbor}, MountPath: "/etc/../x"},
			connector.ErrInvalid,
			`mount.path "/etc/../x": write the absolute path at which the container mounts the volume, such as /etc/buildkit`,
		},
		{
			"registry glob", input("dockerd", with(harbor, render.Registry{Host: "*.example.com"})), connector.ErrInvalid,
			`connector ci/harbor: registries: host "*.example.com": write host or host:port in lower case, without a glob`,
		},
		{
			"registry that is no host", input("dockerd", with(harbor, render.Registry{Host: "../../etc"})), connector.ErrInvalid,
			`connector ci/harbor: registries: host "../../etc": write host or host:port in lower case, without a glob`,
		},
		{
			"CA without certificate", input("dockerd", with(harbor, render.Registry{Host: "harbor.example.com", CA: []byte("x")})), connector.ErrPrecondition,
			"connector ci/harbor: registries: host harbor.example.com: the CA holds no PEM CERTIFICATE block",
		},
		{
			"entry host not canonical", input("dockerd", text(func(e *connector.Entry) { e.Key.Host = "index.docker.io" })), connector.ErrInvalid,
			`connector ci/harbor: issuer secret: entry for "index.docker.io": the host is not canonical`,
		},
		{
			"claimed host not canonical", input("dockerd", func() render.Source { s := emptied(harbor, "x"); s.Claims = []string{"index.docker.io"}; return s }()), connector.ErrInvalid,
			`connector ci/harbor: claimed host "index.docker.io" is not canonical`,
		},
		{
			"no form", input("dockerd", text(func(e *connector.Entry) { e.Password = connector.Secret{} })), connector.ErrPrecondition,
			"connector ci/harbor: issuer secret: entry for harbor.example.com holds no credential that a client can use: give a username with a password, one token, or declare it anonymous",
		},
		{
			"two forms", input("dockerd", text(func(e *connector.Entry) { e.RegistryToken = secret("x") })), connector.ErrPrecondition,
			"connector ci/harbor: issuer secret: entry for harbor.example.com holds no credential that a client can use: give a username with a password, one token, or declare it anonymous",
		},
		{
			"password without user", input("dockerd", text(func(e *connector.Entry) { e.Username = "" })), connector.ErrPrecondition,
			"connector ci/harbor: issuer secret: entry for harbor.example.com holds no credential that a client can use: give a username with a password, one token, or declare it anonymous",
		},
		{
			"colon in user", input("docker-config", text(func(e *connector.Entry) { e.Username = "a:b" })), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry harbor.example.com: the username holds a colon, which basic authentication cannot carry (RFC 7617): use an account without one",
		},
		{
			"colon in user of fields", input("fields", text(func(e *connector.Entry) { e.Username = "a:b" })), connector.ErrPrecondition,
			"configuration fields: connector ci/harbor: registry harbor.example.com: the username holds a colon, which basic authentication cannot carry (RFC 7617): use an account without one",
		},
		{
			"control in user", input("docker-config", text(func(e *connector.Entry) { e.Username = "a\x00" })), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry harbor.example.com: the username holds a control character or is not UTF-8: remove it where the username is stored",
		},
		{
			"newline after password", input("docker-config", text(func(e *connector.Entry) { e.Password = secret("x\n") })), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry harbor.example.com: the password holds a control character (a final newline?) or is not UTF-8: remove it where the password is stored",
		},
		{
			"broken UTF-8 in identity token", input("docker-config", source("harbor", connector.Entry{Key: key("x"), IdentityToken: connector.NewSecret("\xff")})), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry x: the identity token holds a control character (a final newline?) or is not UTF-8: remove it where the token is stored",
		},
		{
			"newline after registry token", input("docker-config", source("harbor", connector.Entry{Key: key("x"), RegistryToken: connector.NewSecret("x\r\n")})), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry x: the registry token holds a control character (a final newline?) or is not UTF-8: remove it where the token is stored",
		},
		{
			"docker-config beside docker-helper",
			render.Input{Configurations: []string{"docker-config", "docker-helper"}, Sources: []render.Source{harbor}},
			connector.ErrInvalid,
			"configurations docker-config and docker-helper both write config.json, one with the logins and one without: ask for one of them, or mount two volumes",
		},
		{
			"registry token for a helper", input("docker-helper", scoped()), connector.ErrPrecondition,
			"configuration docker-helper: connector ci/scoped: registry scoped.example: a credential helper cannot give a registrytoken: use the configuration docker-config, or a Connector that gives a password or an identity token",
		},
		{
			"newline after password for a helper", input("docker-helper", text(func(e *connector.Entry) { e.Password = secret("x\n") })), connector.ErrPrecondition,
			"configuration docker-helper: connector ci/harbor: registry harbor.example.com: the password holds a control character (a final newline?) or is not UTF-8: remove it where the password is stored",
		},
		{
			"user of identity tokens for a helper", input("docker-helper", text(func(e *connector.Entry) { e.Username = "<token>" })), connector.ErrPrecondition,
			"configuration docker-helper: connector ci/harbor: registry harbor.example.com: the username <token> makes clients take the password that a credential helper gives for an identity token: store it as an identity token if it is one, else use another user or the configuration docker-config",
		},
		{
			"folder in the directory of a program",
			render.Input{Configurations: []string{"docker-helper", "fields"}, Sources: []render.Source{rename(harbor, "bin"), source("b", basic("b.example", "b", "b"))}},
			connector.ErrInvalid,
			"configuration docker-helper needs the directory bin for a program alone, and configuration fields renders bin/.dockerconfigjson: mount them as two volumes",
		},
		{
			"glob without host", input("docker-config", with(source("harbor", basic("*.example.com", "robot", "x")), hosts("example.org")...)), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: the entry for *.example.com matches none of its declared hosts, and clients look up exact hosts only: list the hosts in spec.registries",
		},
		{
			"two credentials on one host", input("docker-config", source("harbor", basic("x.example/a", "a", "a"), basic("x.example/b/c", "b", "b"))), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry x.example: there are different credentials for b/c, a, and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
		},
		{
			"path beside whole host", input("docker-config", source("harbor", basic("x.example/a", "a", "a"), basic("x.example", "b", "b"))), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry x.example: there are different credentials for a, (whole host), and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
		},
		{
			"anonymous path beside credential", input("docker-config", source("harbor", anonymous("x.example/a"), basic("x.example", "b", "b"))), connector.ErrPrecondition,
			"configuration docker-config: connector ci/harbor: registry x.example: there are different credentials for a (anonymous), (whole host), and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
		},
		{
			"fields with two credentials", input("fields", source("harbor", basic("a.example", "a", "a"), basic("b.example", "b", "b"))), connector.ErrPrecondition,
			"configuration fields: connector ci/harbor: password: there are different credentials for a.example and b.example, and one file holds one: leave one of them in the Connector, or use docker-config",
		},
		{
			"field with slash", input("fields", field("a/b")), connector.ErrPrecondition,
			`configuration fields: connector ci/harbor: issuer secret adds the field "a/b", which is not a file name: report it as a bug of the issuer`,
		},
		{
			"field with leading dots", input("fields", field("..data")), connector.ErrPrecondition,
			`configuration fields: connector ci/harbor: issuer secret adds the field "..data", which is not a file name: report it as a bug of the issuer`,
		},
		{
			"field that is the marker", input("fields", field(render.Marker)), connector.ErrPrecondition,
			`configuration fields: connector ci/harbor: issuer secret adds the field ".csi.regcred.dev", which is not a file name: report it as a bug of the issuer`,
		},
		{
			"field of the core", input("fields", field("password")), connector.ErrInvalid,
			`configuration fields and configuration fields both render password: leave one of them away, or the file out with "!password"`,
		},
		{
			"field of every volume", input("fields", field("regcred.json")), connector.ErrInvalid,
			`configuration fields and every volume both render regcred.json: leave one of them away, or the file out with "!regcred.json"`,
		},
		{
			"two configurations, one path",
			render.Input{Configurations: []string{"fields", "docker-config"}, Sources: []render.Source{field("config.json")}},
			connector.ErrInvalid,
			`configuration fields and configuration docker-config both render config.json: leave one of them away, or the file out with "!config.json"`,
		},
		{
			"file where a folder must be",
			render.Input{Configurations: []string{"docker-config", "fields"}, Sources: []render.Source{rename(harbor, "config.json"), source("b", basic("b.example", "b", "b"))}},
			connector.ErrInvalid,
			"configuration docker-config renders the file config.json, and configuration fields needs a directory of that name: mount them as two volumes",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files, err := render.Render(test.in)
			if files != nil {
				t.Errorf("files beside an error: %v", files)
			}
			if !errors.Is(err, test.class) {
				t.Fatalf("error %v, want class %v", err, test.class)
			}
			if err.Error() != test.want {
				t.Errorf("error\n%s\nwant\n%s", err, test.want)
			}
		})
	}
}

// Formats that carry no credential do not fail for one.
func TestCredentialProblemsConcernCredentialFormatsOnly(t *testing.T) {
	for _, s := range []render.Source{
		source("a", basic("*.example.com", "robot", "x")),
		source("a", basic("x.example", "a:b", "x\n")),
		source("a", basic("x.example/a", "a", "a"), basic("x.example/b", "b", "b")),
	} {
		for _, configuration := range []string{"dockerd", "buildkitd", "certs-d", "containerd"} {
			if _, err := render.Render(input(configuration, s)); err != nil {
				t.Errorf("%s: %v", configuration, err)
			}
		}
	}
}

// An IPv6 address in insecure-registries needs a port: without one dockerd 20.10
// does not start.
func TestDockerdIPv6(t *testing.T) {
	s := with(source("six", basic("[fd00::1]", "six", "six")),
		render.Registry{Host: "[fd00::1]", PlainHTTP: true, CA: certificate("six")},
		render.Registry{Host: "[fd00::2]:5000", PlainHTTP: true})
	files, err := render.Render(input("dockerd", s))
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"insecure-registries\": [\n    \"[fd00::2]:5000\"\n  ],\n  \"registry-mirrors\": []\n}\n"
	if got := string(data(t, files, "daemon.json")); got != want {
		t.Errorf("daemon.json\n%s\nwant\n%s", got, want)
	}
	if got := string(data(t, files, "certs.d/[fd00::1]/ca.crt")); got != string(certificate("six")) {
		t.Errorf("ca.crt %q", got)
	}
	var report render.Report
	if err := json.Unmarshal(data(t, files, "regcred.json"), &report); err != nil {
		t.Fatal(err)
	}
	omitted := []render.Omission{{
		Configuration: "dockerd", Host: "[fd00::1]", Connector: s.Connector, What: "plainHTTP",
		Why: "dockerd 20.10 does not start with an IPv6 address without a port in insecure-registries",
	}}
	if diff := cmp.Diff(omitted, report.Omitted); diff != "" {
		t.Errorf("omitted (-want +got):\n%s", diff)
	}
}

// docker takes short/image for an image of Docker Hub, so that a host of one
// word can be a mirror of it and nothing else.
func TestDockerAndShortNames(t *testing.T) {
	s := with(source("short", basic("docker.io", "hubber", "hub")),
		render.Registry{Host: "docker.io", Mirrors: []string{"https://cache"}},
		render.Registry{Host: "cache", CA: certificate("cache"), InsecureSkipVerify: true},
		render.Registry{Host: "localhost", CA: certificate("local")},
		render.Registry{Host: "registry", CA: certificate("registry"), InsecureSkipVerify: true},
		render.Registry{Host: "registry:5000", CA: certificate("registry"), InsecureSkipVerify: true})
	const why = "docker takes registry/image for an image of Docker Hub: give the host a dot or a port"
	for configuration, want := range map[string][]render.Omission{
		"dockerd": {
			{Configuration: "dockerd", Host: "registry", Connector: s.Connector, What: "insecureSkipVerify", Why: why},
			{Configuration: "dockerd", Host: "registry", Connector: s.Connector, What: "ca", Why: why},
		},
		"certs-d": {
			{Configuration: "certs-d", Host: "registry", Connector: s.Connector, What: "ca", Why: why},
		},
	} {
		files, err := render.Render(input(configuration, s))
		if err != nil {
			t.Fatal(err)
		}
		var report render.Report
		if err := json.Unmarshal(data(t, files, "regcred.json"), &report); err != nil {
			t.Fatal(err)
		}
		report.Omitted = slices.DeleteFunc(report.Omitted, func(o render.Omission) bool { return o.Why == "the format holds certificates only" })
		if diff := cmp.Diff(want, report.Omitted); diff != "" {
			t.Errorf("%s: omitted (-want +got):\n%s", configuration, diff)
		}
	}
}

// A client looks for a mirror's CA under the host that the mirror's URL names.
func TestMirrorIsNamedAsItsHost(t *testing.T) {
	s := with(source("six", basic("docker.io", "hubber", "hub")),
		render.Registry{Host: "docker.io", Mirrors: []string{"https://[FD00:0::1]:5000"}},
		render.Registry{Host: "[fd00::1]:5000", CA: certificate("six")})
	files, err := render.Render(input("dockerd", s))
	if err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"insecure-registries\": [],\n  \"registry-mirrors\": [\n    \"https://[fd00::1]:5000\"\n  ]\n}\n"
	if got := string(data(t, files, "daemon.json")); got != want {
		t.Errorf("daemon.json\n%s\nwant\n%s", got, want)
	}
}

// Leaving a file out must not fail a renewal on the day it is missing.
func TestExcludeMayBeMissing(t *testing.T) {
	harbor := source("harbor", basic("harbor.example.com", "robot", "harbor"))
	gone := emptied(harbor, "expired")
	other := source("other", basic("other.example.com", "robot", "other"))
	endless := source("endless", basic("harbor.example.com", "robot", "harbor"))
	endless.Credential.ExpiresAt = time.Time{}
	for _, test := range []struct {
		configuration, exclude string
		source                 render.Source
		others                 []render.Source
	}{
		{"docker-config", "!ca.crt", harbor, nil},
		{"dockerd", "!certs.d", harbor, nil},
		{"dockerd", "!certs.d/gone.example/ca.crt", harbor, nil},
		{"buildkitd", "!certs/", harbor, nil},
		{"certs-d", "!gone.example:5000/", harbor, nil},
		{"containerd", "!gone.example/ca.crt", harbor, nil},
		{"fields", "!token", harbor, nil},
		{"fields", "!uuid", gone, nil},
		{"fields", "!expiry", endless, nil},
		{"fields", "!endless/expiry", endless, []render.Source{other}},
	} {
		in := input(test.configuration, append([]render.Source{test.source}, test.others...)...)
		in.Exclude = []string{test.exclude, test.exclude}
		if _, err := render.Render(in); err != nil {
			t.Errorf("%s %s: %v", test.configuration, test.exclude, err)
		}
	}
}

// No end is too far away for a volume, and each is written as RFC 3339.
func TestEndsFarAway(t *testing.T) {
	for _, end := range []time.Time{time.UnixMilli(1790000000000 * 1000), time.Unix(1<<55, 0), time.Date(9999, 12, 31, 23, 59, 59, 1, time.FixedZone("", -3600))} {
		far := source("far", basic("far.example", "robot", "far"))
		far.Credential.ExpiresAt, far.RenewAt = end, end
		files, err := render.Render(input("fields", far))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(data(t, files, "expiry")); got != "9999-12-31T23:59:59Z" {
			t.Errorf("%d: expiry is %s", end.Unix(), got)
		}
		var report render.Report
		if err := json.Unmarshal(data(t, files, "regcred.json"), &report); err != nil || report.Entries[0].ExpiresAt.Year() != 9999 {
			t.Errorf("%d: %v, %v", end.Unix(), report.Entries, err)
		}
	}
}

// The report tells whole UTC seconds and nothing about the moment of rendering.
func TestReport(t *testing.T) {
	files, err := render.Render(cases()["docker-config-report"])
	if err != nil {
		t.Fatal(err)
	}
	var got render.Report
	if err := json.Unmarshal(data(t, files, "regcred.json"), &got); err != nil {
		t.Fatal(err)
	}
	want := render.Report{Version: 1, Entries: []render.ReportEntry{
		{
			Host: "forever.example", Connector: connector.Ref{Namespace: "ci", Name: "forever"}, Issuer: "secret", Form: render.FormBasic,
			IssuedAt: issuedAt.Truncate(time.Second), Grain: connector.GrainIdentity, LongLived: true,
		},
		{
			Host: "scoped.example", Connector: connector.Ref{Namespace: "ci", Name: "scoped"}, Issuer: "distributionToken", Form: render.FormRegistryToken,
			IssuedAt: issuedAt.Truncate(time.Second), ExpiresAt: expiresAt.UTC(), RenewAt: renewAt,
			Granted: connector.Scope{Repositories: []string{"team/app"}, Actions: []connector.Action{connector.Pull}}, Grain: connector.GrainRepository,
		},
	}, Warnings: []render.Warning{{
		Connector: connector.Ref{Namespace: "ci", Name: "scoped"}, Text: "host scoped.example has two logins: the first counts",
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
