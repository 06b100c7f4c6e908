package formats

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"

	dockerd "github.com/docker/docker/registry"
	"github.com/google/go-cmp/cmp"
)

// daemon is daemon.json as far as registries go. dockerd refuses any key that
// it does not know; these two are in the reference of 20.10 and of all later
// versions, and no other one is needed.
type daemon struct {
	InsecureRegistries []string `json:"insecure-registries"`
	RegistryMirrors    []string `json:"registry-mirrors"`
}

// daemons is what every daemon.json means.
var daemons = map[string]daemon{
	"anonymous-first": {InsecureRegistries: []string{"plain.example:5000"}, RegistryMirrors: []string{"https://cache.example"}},
	"dockerd": {
		InsecureRegistries: []string{"both.corp.example", "lab.corp.example", "plain.corp.example:8080"},
		RegistryMirrors:    []string{"https://cache.corp.example", "http://plain.corp.example:8080", "http://undeclared.example:3128"},
	},
	"dockerd-hub":        {InsecureRegistries: []string{}, RegistryMirrors: []string{}},
	"dockerd-plain":      {InsecureRegistries: []string{}, RegistryMirrors: []string{}},
	"dockerd-rivals":     {InsecureRegistries: []string{}, RegistryMirrors: []string{}},
	"everything":         {InsecureRegistries: []string{}, RegistryMirrors: []string{"https://single.example:5000"}},
	"everything-emptied": {InsecureRegistries: []string{}, RegistryMirrors: []string{"https://single.example:5000"}},
}

func TestDaemonJSON(t *testing.T) {
	seen := 0
	for name, v := range volumes(t) {
		data, ok := v["daemon.json"]
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			want, ok := daemons[name]
			if !ok {
				t.Fatal("say in daemons what it means")
			}
			var got daemon
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// The code of 20.10 that decides whether it starts.
			if _, err := dockerd.NewService(dockerd.ServiceOptions{Mirrors: got.RegistryMirrors, InsecureRegistries: got.InsecureRegistries}); err != nil {
				t.Errorf("dockerd 20.10 does not start: %v", err)
			}
			for _, r := range got.InsecureRegistries {
				checkInsecure(t, r)
			}
			for _, m := range got.RegistryMirrors {
				checkMirror(t, m)
			}
			// At SIGHUP dockerd keeps what a key said that is not there any more.
			if got.InsecureRegistries == nil || got.RegistryMirrors == nil {
				t.Errorf("a key is missing or null:\n%s", data)
			}
		})
	}
	if seen != len(daemons) {
		t.Errorf("%d files, %d meanings: a case of daemons has gone", seen, len(daemons))
	}
}

var hostPort = regexp.MustCompile(`^([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(\.([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(:[0-9]+)?$|^\[[0-9a-f:]+\](:[0-9]+)?$`)

// checkInsecure: dockerd takes host[:port] or a CIDR; with a scheme, a path
// or a wildcard it does not start. Docker Hub cannot be made insecure.
func checkInsecure(t *testing.T, r string) {
	t.Helper()
	if !hostPort.MatchString(r) || strings.HasSuffix(r, "docker.io") {
		t.Errorf("insecure-registries: dockerd refuses %q", r)
	}
}

// checkMirror: dockerd 20.10 refuses a mirror with a path, query, fragment or
// user.
func checkMirror(t *testing.T, m string) {
	t.Helper()
	u, err := url.Parse(m)
	if err != nil {
		t.Fatal(err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || !hostPort.MatchString(u.Host) ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		t.Errorf("registry-mirrors: dockerd 20.10 refuses %q", m)
	}
}
