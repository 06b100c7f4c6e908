package formats

import (
	"bytes"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	docker1 "github.com/containerd/containerd/remotes/docker"
	config1 "github.com/containerd/containerd/remotes/docker/config"
	docker2 "github.com/containerd/containerd/v2/core/remotes/docker"
	config2 "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// endpoint is an address that containerd asks, one after the other.
type endpoint struct {
	URL   string // with the path before the repository
	Push  bool   // mirrors are read only
	Trust trust
}

func server(url string, t trust) endpoint { return endpoint{url, true, t} }
func mirror(url string, t trust) endpoint { return endpoint{url, false, t} }

func cas(names ...string) trust { return trust{CAs: names} }

// containerdCorp is the big case, with or without its client certificate.
func containerdCorp(client string) map[string][]endpoint {
	registry := cas("corp", "corp sub")
	registry.Client = client
	return map[string][]endpoint{
		"registry.corp.example:5000": {mirror("https://cache.corp.example/v2/corp", cas("corp")), server("https://registry.corp.example:5000/v2", registry)},
		"docker.io": {
			mirror("https://cache.corp.example/v2", cas("corp")), mirror("http://plain.corp.example:8080/v2", trust{}),
			mirror("https://cache.corp.example/v2/dockerhub", cas("corp")), mirror("http://undeclared.example:3128/v2", trust{}),
			server("https://registry-1.docker.io/v2", trust{}),
		},
		"cache.corp.example":      {server("https://cache.corp.example/v2", cas("corp"))},
		"plain.corp.example:8080": {server("http://plain.corp.example:8080/v2", trust{})},
		"lab.corp.example":        {server("https://lab.corp.example/v2", trust{Insecure: true})},
		"both.corp.example":       {server("http://both.corp.example/v2", trust{})},
		"[fd00::1]:5000":          {server("https://[fd00::1]:5000/v2", cas("six"))},
		"my_registry:5000":        {server("http://my_registry:5000/v2", trust{})},
		"127.0.0.1:5001":          {server("https://127.0.0.1:5001/v2", cas("loop"))},
	}
}

// hostsTOML is what containerd makes of every volume, by host.
var hostsTOML = map[string]map[string][]endpoint{
	"containerd":         containerdCorp("client"),
	"containerd-emptied": containerdCorp(""),
	"containerd-plain":   {},
	"containerd-hub": {
		"docker.io": {mirror("https://mirror.example/v2", trust{}), server("https://registry-1.docker.io/v2", trust{[]string{"hub"}, "client", true})},
	},
	"containerd-rivals": {
		"shared.example":   {server("https://shared.example/v2", cas("first"))},
		"declared.example": {server("https://declared.example/v2", cas("declared"))},
	},
	"containerd-mirrors": {
		"docker.io": {
			mirror("https://z.example/v2/dockerhub", trust{[]string{"z"}, "client", false}),
			mirror("https://lab.example/v2", trust{[]string{"lab"}, "", true}),
			mirror("https://index.docker.io/v2", trust{}),
			mirror("http://plain.example:8080/v2", trust{}), server("https://registry-1.docker.io/v2", trust{}),
		},
		"z.example":          {server("https://z.example/v2", trust{[]string{"z"}, "client", false})},
		"lab.example":        {server("https://lab.example/v2", trust{[]string{"lab"}, "", true})},
		"plain.example:8080": {server("http://plain.example:8080/v2", trust{})},
	},
	"containerd-beside-certs-d": {"a.example:5000": {server("https://a.example:5000/v2", trust{[]string{"a"}, "client", false})}},
}

// containerd falls back to its defaults where it cannot read a file, so what it
// understood is compared, not only whether it complains.
func TestHostsTOML(t *testing.T) {
	all := volumes(t)
	for name, want := range hostsTOML {
		t.Run(name, func(t *testing.T) {
			v, ok := all[name]
			if !ok {
				t.Fatal("there is no such case")
			}
			m := mount(t, v)
			got1, got2 := make(map[string][]endpoint), make(map[string][]endpoint)
			for file, data := range v {
				if path.Base(file) == "hosts.toml" {
					checkHostsTOML(t, file, data)
					host := path.Dir(file)
					got1[host], got2[host] = m.containerd1(t, host), m.containerd2(t, host)
				}
			}
			if diff := cmp.Diff(want, got1); diff != "" {
				t.Errorf("containerd 1.6 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, got2); diff != "" {
				t.Errorf("containerd 2 (-want +got):\n%s", diff)
			}
		})
	}
	for name, v := range all {
		for file := range v {
			if path.Base(file) == "hosts.toml" && hostsTOML[name] == nil {
				t.Errorf("%s/%s: say in hostsTOML what it means", name, file)
			}
		}
	}
}

func (m *mounted) containerd1(t *testing.T, host string) []endpoint {
	t.Helper()
	hosts, err := config1.ConfigureHosts(t.Context(), config1.HostOptions{HostDir: config1.HostDirFromRoot(m.root)})(host)
	if err != nil {
		t.Fatalf("containerd 1.6: %s: %v", host, err)
	}
	var got []endpoint
	for _, h := range hosts {
		if !h.Capabilities.Has(docker1.HostCapabilityPull | docker1.HostCapabilityResolve) {
			t.Errorf("%s: nothing can be pulled from %s", host, h.Host)
		}
		got = append(got, m.endpoint(t, h.Scheme+"://"+h.Host+h.Path, h.Capabilities.Has(docker1.HostCapabilityPush), h.Client))
	}
	return got
}

func (m *mounted) containerd2(t *testing.T, host string) []endpoint {
	t.Helper()
	hosts, err := config2.ConfigureHosts(t.Context(), config2.HostOptions{HostDir: config2.HostDirFromRoot(m.root)})(host)
	if err != nil {
		t.Fatalf("containerd 2: %s: %v", host, err)
	}
	var got []endpoint
	for _, h := range hosts {
		if !h.Capabilities.Has(docker2.HostCapabilityPull | docker2.HostCapabilityResolve) {
			t.Errorf("%s: nothing can be pulled from %s", host, h.Host)
		}
		got = append(got, m.endpoint(t, h.Scheme+"://"+h.Host+h.Path, h.Capabilities.Has(docker2.HostCapabilityPush), h.Client))
	}
	return got
}

func (m *mounted) endpoint(t *testing.T, url string, push bool, client *http.Client) endpoint {
	t.Helper()
	transport, ok := client.Transport.(*http.Transport)
	if !ok { // containerd 2 has one of its own that tries TLS first
		t.Fatalf("%s: plain HTTP with TLS options", url)
	}
	return endpoint{url, push, m.trust(t, transport.TLSClientConfig)}
}

// checkHostsTOML: containerd ignores unknown keys, 1.6 a file without [host].
func checkHostsTOML(t *testing.T, file string, data []byte) {
	t.Helper()
	type table struct {
		Capabilities []string    `toml:"capabilities"`
		CA           string      `toml:"ca"`
		Client       [][2]string `toml:"client"`
		SkipVerify   bool        `toml:"skip_verify"`
		OverridePath bool        `toml:"override_path"`
	}
	var got struct {
		table
		Server string            `toml:"server"`
		Host   *map[string]table `toml:"host"`
	}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&got); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if got.Server == "" || got.Host == nil {
		t.Errorf("%s: no server or no [host]:\n%s", file, data)
	}
	for _, m := range *got.Host {
		for _, c := range m.Capabilities {
			if !slices.Contains([]string{"pull", "resolve", "push"}, strings.ToLower(c)) {
				t.Errorf("%s: containerd 1.6 knows no capability %q", file, c)
			}
		}
	}
}
