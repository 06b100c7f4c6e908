package formats

import (
	"slices"
	"strings"
	"testing"

	dockerd "github.com/docker/docker/registry"
	"github.com/google/go-cmp/cmp"
	podman "go.podman.io/image/v5/pkg/tlsclientconfig"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// FuzzHostDirectories: both containerds reach each host and its mirrors as the
// connectors say that win them, and docker and podman trust each host so, be
// there a directory for it or not.
func FuzzHostDirectories(f *testing.F) {
	addRandom(f, 200)
	f.Fuzz(func(t *testing.T, data []byte) {
		sources := withTrust((&choices{data}).sources())
		files, err := render.Render(render.Input{Configurations: []string{"containerd"}, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		m := mount(t, asVolume(files))
		for _, host := range someHosts {
			want := endpoints(sources, host)
			if diff := cmp.Diff(want, m.containerd1(t, host)); diff != "" {
				t.Errorf("containerd 1.6: %s (-want +got):\n%s\n%s", host, diff, story(sources))
			}
			if diff := cmp.Diff(want, m.containerd2(t, host)); diff != "" {
				t.Errorf("containerd 2: %s (-want +got):\n%s\n%s", host, diff, story(sources))
			}
		}

		files, err = render.Render(render.Input{Configurations: []string{"certs-d"}, Sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		m = mount(t, asVolume(files))
		for _, host := range someHosts {
			declared := declaration(sources, host)
			declared.PlainHTTP, declared.InsecureSkipVerify = false, false // there is no word for them
			want := trustOf(sources, declared)
			if diff := cmp.Diff(want, m.read(t, host, dockerd.ReadCertsDirectory)); diff != "" {
				t.Errorf("docker 20.10: %s (-want +got):\n%s\n%s", host, diff, story(sources))
			}
			if diff := cmp.Diff(want, m.read(t, host, reversed(podman.SetupCertificates))); diff != "" {
				t.Errorf("podman: %s (-want +got):\n%s\n%s", host, diff, story(sources))
			}
		}
	})
}

func reversed[A, B any](f func(B, A) error) func(A, B) error {
	return func(a A, b B) error { return f(b, a) }
}

func asVolume(files render.Files) volume {
	v := make(volume)
	for _, file := range files {
		v[file.Path] = file.Data
	}
	return v
}

// withTrust gives some hosts a CA and some a client certificate, each named
// after the connector and the host.
func withTrust(sources []render.Source) []render.Source {
	for _, s := range sources {
		for i := range s.Registries {
			r := &s.Registries[i]
			name := s.Connector.Name + " " + r.Host
			if i%2 == 0 {
				r.CA = standIn(name)
			}
			if len(s.Registries)%3 == i%3 {
				r.ClientCertificate, r.ClientKey = standIn("client "+name), connector.NewSecret("key")
			}
		}
	}
	return sources
}

// endpoints are the addresses that the plan has for a host, by order.
func endpoints(sources []render.Source, host string) []endpoint {
	declared := declaration(sources, host)
	var all []endpoint
	for _, written := range declared.Mirrors {
		scheme, rest, _ := strings.Cut(written, "://")
		name, path, _ := strings.Cut(rest, "/")
		if strings.HasPrefix(name, "[") || strings.Contains(path, "//") {
			continue // omitted
		}
		own := strings.Replace(name, "registry-1.docker.io", "docker.io", 1)
		plain := declaration(sources, own).PlainHTTP
		if owner(sources, own) != nil && plain != (scheme == "http") {
			continue // the mirror's host and its URL contradict each other
		}
		url := strings.TrimRight(scheme+"://"+name+"/v2/"+path, "/")
		if !slices.ContainsFunc(all, func(e endpoint) bool { return e.URL == url }) {
			all = append(all, mirror(url, trustOf(sources, declaration(sources, own))))
		}
	}
	scheme := "https://"
	if declared.PlainHTTP {
		scheme = "http://"
	}
	address := strings.Replace(host, "docker.io", "registry-1.docker.io", 1)
	return append(all, server(scheme+address+"/v2", trustOf(sources, declared)))
}

func trustOf(sources []render.Source, r render.Registry) trust {
	s := owner(sources, r.Host)
	if s == nil || r.PlainHTTP {
		return trust{}
	}
	got := trust{Insecure: r.InsecureSkipVerify}
	name := s.Connector.Name + " " + r.Host
	if r.CA != nil {
		got.CAs = []string{name}
	}
	if r.ClientCertificate != nil && s.Credential != nil {
		got.Client = "client " + name
	}
	return got
}
