package formats

import (
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	buildkitd "github.com/moby/buildkit/cmd/buildkitd/config"
	resolver "github.com/moby/buildkit/util/resolver/config"
	"github.com/pelletier/go-toml/v2"
)

type registries = map[string]resolver.RegistryConfig

func yes() *bool { v := true; return &v }
func no() *bool  { v := false; return &v }

// corp is the big case under a mount path.
func corp(mount string) registries {
	at := func(name string) string { return mount + "/certs/" + name }
	return registries{
		"127.0.0.1:5001":     {PlainHTTP: no(), RootCAs: []string{at("127.0.0.1:5001.crt")}},
		"[fd00::1]:5000":     {RootCAs: []string{at("[fd00::1]:5000.crt")}},
		"both.corp.example":  {PlainHTTP: yes()},
		"cache.corp.example": {RootCAs: []string{at("cache.corp.example.crt")}},
		"docker.io": {Mirrors: []string{
			"cache.corp.example", "plain.corp.example:8080", "cache.corp.example/dockerhub", "undeclared.example:3128",
		}},
		"lab.corp.example":        {Insecure: yes()},
		"my_registry:5000":        {PlainHTTP: yes()},
		"plain.corp.example:8080": {PlainHTTP: yes()},
		"registry.corp.example:5000": {
			Mirrors:  []string{"cache.corp.example/corp"},
			RootCAs:  []string{at("registry.corp.example:5000.crt")},
			KeyPairs: []resolver.TLSKeyPair{{Key: at("registry.corp.example:5000.key"), Certificate: at("registry.corp.example:5000.cert")}},
		},
		"undeclared.example:3128": {PlainHTTP: yes()},
	}
}

func single(pair bool) registries {
	r := resolver.RegistryConfig{RootCAs: []string{"/etc/buildkit/certs/single.example:5000.crt"}}
	if pair {
		r.KeyPairs = []resolver.TLSKeyPair{{
			Key: "/etc/buildkit/certs/single.example:5000.key", Certificate: "/etc/buildkit/certs/single.example:5000.cert",
		}}
	}
	return registries{"single.example:5000": r, "docker.io": {Mirrors: []string{"single.example:5000"}}}
}

// sections is what every buildkitd.toml means.
var sections = map[string]registries{
	"anonymous-first": {
		"cache.example":      {RootCAs: []string{"/etc/buildkit/certs/cache.example.crt"}},
		"docker.io":          {Mirrors: []string{"cache.example"}},
		"plain.example:5000": {PlainHTTP: yes()},
	},
	"buildkitd":            corp("/etc/buildkit"),
	"buildkitd-mount-path": corp("/home/user/.config/buildkit"),
	"buildkitd-plain":      nil,
	"buildkitd-rivals": {
		"declared.example": {RootCAs: []string{"/etc/buildkit/certs/declared.example.crt"}},
		"shared.example":   {RootCAs: []string{"/etc/buildkit/certs/shared.example.crt"}},
	},
	"buildkitd-mirrors": {"plain.example": {PlainHTTP: yes()}},
	"buildkitd-mirrors-undeclared": {
		"docker.io":      {Mirrors: []string{"cache.example", "localhost:5000", "127.0.0.1:5001/hub", "[::1]:5002", "localhost:5003"}},
		"quay.io":        {Mirrors: []string{"plain.example"}},
		"plain.example":  {PlainHTTP: yes()},
		"localhost:5000": {PlainHTTP: no()},
		"127.0.0.1:5001": {PlainHTTP: no()},
		"[::1]:5002":     {PlainHTTP: no()},
		"localhost:5003": {PlainHTTP: yes()},
	},
	"docker-config-emptied-glob": {"own.corp.example": {RootCAs: []string{"/etc/buildkit/certs/own.corp.example.crt"}}},
	"everything":                 single(true),
	"everything-emptied":         single(false),
	"excluded":                   single(true),
}

func TestBuildkitdTOML(t *testing.T) {
	seen := 0
	for name, v := range volumes(t) {
		data, ok := v["buildkitd.toml"]
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			want, ok := sections[name]
			if !ok {
				t.Fatal("say in sections what it means")
			}
			loaded, err := buildkitd.Load(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			// buildkitd ignores unknown keys; a misspelt one must not pass.
			var strict buildkitd.Config
			if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&strict); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, loaded.Registries); diff != "" {
				t.Errorf("registries (-want +got):\n%s", diff)
			}
			loaded.Registries = nil
			if diff := cmp.Diff(buildkitd.Config{}, loaded); diff != "" {
				t.Errorf("beside registries (-want +got):\n%s", diff)
			}
			if name != "excluded" { // its pod asked for a key to be left out
				namedFilesExist(t, v, want)
			}
		})
	}
	if seen != len(sections) {
		t.Errorf("%d files, %d meanings: a case of sections has gone", seen, len(sections))
	}
}

// namedFilesExist holds paths and files together: buildkitd fails a
// registry's builds when a CA is missing.
func namedFilesExist(t *testing.T, v volume, all registries) {
	t.Helper()
	named := make(map[string]bool)
	for _, r := range all {
		paths := r.RootCAs
		for _, pair := range r.KeyPairs {
			paths = append(paths, pair.Key, pair.Certificate)
		}
		for _, p := range paths {
			if !path.IsAbs(p) {
				t.Errorf("%s is relative: buildkitd resolves it against its working directory", p)
			}
			_, inside, _ := strings.Cut(p, "/certs/")
			named["certs/"+inside] = true
		}
	}
	for file := range named {
		if len(v[file]) == 0 {
			t.Errorf("buildkitd.toml names %s, which is not there", file)
		}
	}
	for file := range v {
		if strings.HasPrefix(file, "certs/") && !named[file] {
			t.Errorf("nothing names %s", file)
		}
	}
}
