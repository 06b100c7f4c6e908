package clients

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// The harness must refuse what real systems refuse, or the tests that follow
// prove nothing. Here the files are written by hand.
func TestHarness(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 20*time.Second)
	w.Tokens.SetPassword("robot", "right")
	w.Tokens.Grant("robot", "team/app", "pull", "push")
	daemon := newDaemon(t)
	trust(t, w)
	archive := newArchive(t)

	other := newWorld(t, 20*time.Second)
	other.Tokens.SetPassword("robot", "right")
	other.Tokens.Grant("robot", "team/app", "pull", "push")
	strange := fetchToken(t, other, "robot", "right", "repository:team/app:pull,push")
	token := func(scope string) map[string]string {
		return map[string]string{"registrytoken": fetchToken(t, w, "robot", "right", scope)}
	}
	login := func(password string) map[string]string {
		return map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("robot:" + password))}
	}
	type may struct{ Pull, Push bool }
	nothing, both := may{}, may{Pull: true, Push: true}
	tests := map[string]struct {
		entry map[string]string
		want  may // of those clients that know the entry's form
	}{
		"a token":                   {token("repository:team/app:pull,push"), both},
		"a token to pull":           {token("repository:team/app:pull"), may{Pull: true}},
		"a token for another":       {token("repository:team/other:pull,push"), nothing},
		"a token of another issuer": {map[string]string{"registrytoken": strange}, nothing},
		"a login":                   {login("right"), both},
		"a login that is wrong":     {login("wrong"), nothing},
	}
	right := client.Files{DockerConfig: handWritten(t, w, login("right")), CA: w.CAFile()}
	for _, seed := range []client.Client{client.Crane{Files: right}, client.Helm{Files: right}} { // an image and a chart
		must(t, seed.Push(t.Context(), archive, w.Image("team/app", "seed")))
	}
	for name, tt := range tests {
		files := client.Files{DockerConfig: handWritten(t, w, tt.entry), CA: w.CAFile()}
		for _, p := range programs() {
			t.Run(p.name+" with "+name, func(t *testing.T) {
				c := p.with(t, files, daemon)
				want := tt.want
				if _, token := tt.entry["registrytoken"]; token && p.noRegistryToken != "" {
					want = nothing
				}
				var got may
				pull := c.Pull(t.Context(), w.Image("team/app", "seed"))
				if got.Pull = pull == nil; got.Pull { // dockerd repeats a refused push for 50 s
					push := c.Push(t.Context(), archive, w.Image("team/app", strings.ReplaceAll(name, " ", "-")+"."+c.Name()))
					got.Push = push == nil
					t.Log("push:", push)
				}
				if got != want {
					t.Fatalf("may %+v, want %+v; pull: %v", got, want, pull)
				}
			})
		}
	}
	for _, status := range []int{http.StatusCreated, http.StatusUnauthorized} {
		if !logged(w, status) {
			t.Errorf("the access log shows no answer %d", status)
		}
	}
}

func logged(w *world.World, status int) bool {
	for _, a := range w.Registry.Accesses() {
		if a.Status == status {
			return true
		}
	}
	return false
}

// handWritten is a folder with a config.json that holds one entry.
func handWritten(t *testing.T, w *world.World, fields map[string]string) string {
	t.Helper()
	config, err := json.Marshal(map[string]any{"auths": map[string]any{w.Registry.Host(): fields}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// trust makes dockerd and skopeo trust the world's registry.
func trust(t *testing.T, w *world.World) {
	t.Helper()
	dir := filepath.Join("/etc/docker/certs.d", w.Registry.Host())
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "ca.crt"), w.CA(), 0o644))
}
