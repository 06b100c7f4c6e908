package formats

import (
	"crypto/tls"
	"path"
	"path/filepath"
	"strings"
	"testing"

	dockerd "github.com/docker/docker/registry"
	"github.com/google/go-cmp/cmp"
	podman "go.podman.io/image/v5/pkg/tlsclientconfig"
)

// hostDirectories is what docker and podman find in a host's directory.
var hostDirectories = map[string]map[string]trust{
	"anonymous-first": {"certs.d/cache.example": cas("cache")},
	"dockerd": {
		"certs.d/127.0.0.1:5001": cas("loop"), "certs.d/[fd00::1]:5000": cas("six"), "certs.d/cache.corp.example": cas("corp"),
		"certs.d/registry.corp.example:5000": {CAs: []string{"corp", "corp sub"}, Client: "client"},
	},
	"dockerd-rivals":     {"certs.d/declared.example": cas("declared"), "certs.d/shared.example": cas("first")},
	"everything":         {"certs.d/single.example:5000": {CAs: []string{"single"}, Client: "client"}},
	"everything-emptied": {"certs.d/single.example:5000": cas("single")},
	"certs-d": {
		"127.0.0.1:5001": cas("loop"), "[fd00::1]:5000": cas("six"), "cache.corp.example": cas("corp"),
		"registry.corp.example:5000": {CAs: []string{"corp", "corp sub"}, Client: "client"},
	},
	"certs-d-hub":               {"docker.io": {CAs: []string{"hub"}, Client: "client"}}, // docker never looks there
	"certs-d-rivals":            {"declared.example": cas("declared"), "shared.example": cas("first")},
	"containerd-beside-certs-d": {"a.example:5000": {CAs: []string{"a"}, Client: "client"}},
}

func TestHostDirectories(t *testing.T) {
	for name, v := range volumes(t) {
		if strings.HasPrefix(name, "containerd") && hostDirectories[name] == nil {
			continue // TestHostsTOML
		}
		t.Run(name, func(t *testing.T) {
			m := mount(t, v)
			byDocker, byPodman := make(map[string]trust), make(map[string]trust)
			for file := range v {
				dir := path.Dir(file)
				switch path.Base(file) {
				case "ca.crt", "client.cert", "client.key":
				default:
					continue
				}
				if dir == "." {
					continue // the bundle of the volume
				}
				byDocker[dir] = m.read(t, dir, dockerd.ReadCertsDirectory)
				byPodman[dir] = m.read(t, dir, reversed(podman.SetupCertificates))
			}
			want := hostDirectories[name]
			if want == nil {
				want = map[string]trust{}
			}
			if diff := cmp.Diff(want, byDocker); diff != "" {
				t.Errorf("docker 20.10 (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, byPodman); diff != "" {
				t.Errorf("podman (-want +got):\n%s", diff)
			}
		})
	}
}

func (m *mounted) read(t *testing.T, dir string, read func(*tls.Config, string) error) trust {
	t.Helper()
	var c tls.Config
	if err := read(&c, filepath.Join(m.root, dir)); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return m.trust(t, &c)
}
