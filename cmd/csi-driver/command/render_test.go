package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// instants are the times of an explanation.
var instants = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// warned takes the warning of a directory on disk out of what was printed, and
// checks that it is there when it has to be.
func warned(t *testing.T, dir, stderr string) string {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	warning := "csi-driver: warning: " + dir + " is not on a tmpfs: the credentials are on disk now; name a directory on one, such as /dev/shm or $XDG_RUNTIME_DIR\n"
	rest, found := strings.CutSuffix(stderr, warning)
	if found == (s.Type == unix.TMPFS_MAGIC) {
		t.Errorf("file system %x, stderr %q", s.Type, stderr)
	}
	return rest
}

// mode lists the files of a directory with their modes.
func modes(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = info.Mode().String()
	}
	return all
}

// auths reads the users of a config.json by registry.
func auths(t *testing.T, path string) map[string]string {
	t.Helper()
	var config struct {
		Auths map[string]struct {
			Auth          []byte
			RegistryToken string
		}
	}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]string{}
	for registry, a := range config.Auths {
		users[registry], _, _ = strings.Cut(string(a.Auth)+a.RegistryToken, ":")
	}
	return users
}

func TestRenderExplains(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	args := []string{
		"render", "--connectors-dir", "testdata/manifests", "--connectors", "corp,hub", "--namespace", "ci",
		"--configuration", "docker-config,dockerd,!ca.crt", "--explain", "--out", out,
	}
	got := run(t, program(), args...)
	golden(t, "explain.golden", got.stdout)
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != "" {
		t.Fatalf("exit code %d, stderr %q", got.code, got.stderr)
	}
	want := map[string]string{"config.json": "-rw-------", "daemon.json": "-rw-------", "regcred.json": "-rw-------"}
	if diff := cmp.Diff(want, modes(t, out)); diff != "" {
		t.Error(diff)
	}
	users := map[string]string{"harbor.example.com": "corp", "other.example.com": "wide", "https://index.docker.io/v1/": "hub"}
	if diff := cmp.Diff(users, auths(t, out+"/config.json")); diff != "" {
		t.Error(diff)
	}
	// What no file can hold was asked for and got all the same; nothing is
	// claimed to be written.
	before, _, _ := strings.Cut(got.stdout, "\nWritten:\n")
	got = run(t, program(), append(args, "--configuration", "fields")...)
	if diff := cmp.Diff(before, got.stdout); diff != "" || got.code != exitFailed {
		t.Errorf("exit code %d, %s", got.code, diff)
	}
	// Again, over what is there, and for others to read.
	got = run(t, program(), append(slices.DeleteFunc(args, func(a string) bool { return a == "--explain" }), "--attribute", "file.mode=0440")...)
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != "" || got.stdout != "" {
		t.Fatalf("%+v", got)
	}
	if mode := modes(t, out)["config.json"]; mode != "-r--r-----" {
		t.Error(mode)
	}
}

// tokenServer is a registry with distribution token authentication.
func tokenServer(t *testing.T) *httptest.Server {
	var s *httptest.Server
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="registry"`, s.URL))
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "robot" || password != canary || r.URL.Query().Get("scope") != "repository:team/app:pull" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": canary + "-token", "expires_in": 300})
	})
	s = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// robot declares a Connector for that registry.
func robot(t *testing.T, s *httptest.Server) (dir string) {
	t.Helper()
	dir = t.TempDir()
	manifest := fmt.Sprintf(`
apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: robot, namespace: ci}
spec:
  address: %s
  scope: {actions: [pull]}
  issuer: {distributionToken: {secretRef: {name: robot}, output: registryToken}}
---
apiVersion: v1
kind: Secret
metadata: {name: robot, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: robot, password: %s}
`, s.URL, canary)
	if err := os.WriteFile(filepath.Join(dir, "robot.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRenderCallsTheProvider(t *testing.T) {
	s := tokenServer(t)
	host := strings.TrimPrefix(s.URL, "http://")
	manifests, out := robot(t, s), filepath.Join(t.TempDir(), "out")
	args := []string{
		"render", "--connectors-dir", manifests, "--connectors", "robot", "--namespace", "ci",
		"--repositories", "team/app", "--explain", "--out", out,
	}
	refused := run(t, program(), args...)
	want := "csi-driver: connector ci/robot: obtaining a credential for ServiceAccount ci/default: host 127.0.0.1 is refused: it is a loopback address\n"
	if got := strings.ReplaceAll(refused.stderr, host, "127.0.0.1"); refused.code != exitFailed || !strings.HasSuffix(got, want) {
		t.Errorf("%+v", refused)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
	got := run(t, program(), append(args, "--allowed-hosts", "127.0.0.1")...)
	text := strings.ReplaceAll(got.stdout, host, "127.0.0.1:50000")
	golden(t, "explain-token.golden", instants.ReplaceAllString(text, "2026-01-01T00:00:00Z"))
	found := "csi-driver: warning: connector ci/robot: the token of " + host + " is opaque: what it grants could not be compared with the scope asked for\n"
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != found {
		t.Fatalf("exit code %d, stderr %q", got.code, got.stderr)
	}
	if diff := cmp.Diff(map[string]string{host: canary + "-token"}, auths(t, out+"/config.json")); diff != "" {
		t.Error(diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	base := []string{"render", "--connectors-dir", "testdata/manifests", "--namespace", "ci"}
	foreign := t.TempDir()
	if err := os.WriteFile(foreign+"/notes", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"missing connector", []string{"--connectors", "none"}, "connector ci/none does not exist in the pod's namespace: create it or correct the volume attribute connectors"},
		{"misspelt connector", []string{"--connectors", "crop"}, `connector ci/crop does not exist in the pod's namespace: create it or correct the volume attribute connectors; did you mean "ci/corp"?`},
		{"another's connector", []string{"--connectors", "other/foreign"}, "connector other/foreign does not exist or its spec.access does not admit ServiceAccount ci/default"},
		{"missing Secret", []string{"--connectors", "foreign", "--namespace", "other"}, `connector other/foreign: obtaining a credential for ServiceAccount other/default: Secret "foreign" does not exist in the Connector's namespace`},
		{"two credentials for one file", []string{"--connectors", "corp,hub", "--configuration", "fields"}, "configuration fields: connector ci/corp: password: there are different credentials for harbor.example.com and *.example.com, and one file holds one: leave one of them in the Connector, or use docker-config"},
		{"foreign files", []string{"--connectors", "corp", "--out", foreign}, "--out: " + foreign + " holds what is not to be written now: notes: remove it, or name an empty or missing directory"},
		{"missing token file", []string{"--connectors", "corp", "--token", "aud=testdata/none"}, `--token for audience "aud": open testdata/none: no such file or directory`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			got := run(t, program(), append(append(slices.Clone(base), "--out", out), tc.args...)...)
			if got.code != exitFailed || got.stderr != "csi-driver: "+tc.want+"\n" || got.stdout != "" {
				t.Errorf("%+v", got)
			}
			if _, err := os.Stat(out); !os.IsNotExist(err) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}

func TestRenderWrongUsage(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, `--connectors-dir is required: name a directory of Connector manifests
--out is required: name the directory to write to
--namespace is required: name the namespace of the pod that would ask
--connectors is required: name at least one Connector of the pod's namespace, namespace/name, or cluster:name`},
		{"everything wrong", []string{
			"--connectors-dir", "m", "--out", "o", "--namespace", "N", "--service-account", "S!", "--connectors", "A b", "--configuration", "dokcer-config",
			"--attribute", "connectors=x", "--attribute", "plain", "--attribute", "file.mode=0777", "--attribute", "acitons=pull", "--attribute", "acitons=push",
			"--token", "secret", "--token", "a=b", "--token", "secret", "--token", "a=c",
			"--audience", "x", "--audience", "https://u:" + canary + "@h", "--audience", "a=u:" + canary + "@h", "--allowed-hosts", "http://x", "--allowed-hosts", "u:" + canary + "@h",
		}, `--allowed-hosts: allowed host "http://x": write host, host:port or a CIDR such as 10.0.0.0/8
allowed host "…@h": write host, host:port or a CIDR such as 10.0.0.0/8
--audience: audience "x": write AUD=HOST or AUD=HOST,HOST
audience "…@h": write AUD=HOST or AUD=HOST,HOST
audience "a": allowed host "…@h": write host, host:port or a CIDR such as 10.0.0.0/8
--token number 1 needs AUDIENCE=FILE: the file holds the token
--token number 3 needs AUDIENCE=FILE: the file holds the token
--token number 4 names audience "a" twice
--namespace "N" is not the name of a namespace
--service-account "S!" is not the name of a ServiceAccount
--attribute connectors: use --connectors
--attribute "plain": write KEY=VALUE
--attribute acitons is given twice
--connectors "A b" is not a connector: write name, namespace/name or cluster:name
--configuration there is no configuration "dokcer-config"; did you mean "docker-config"? (known: ` + strings.Join(render.Names(), ", ") + `)
--attribute file.mode "0777" allows more than reading: files of this volume are read-only, so only 0400, 0440 and 0444 make sense
--attribute acitons is not a volume attribute; did you mean "actions"?`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := run(t, program(), append([]string{"render"}, tc.args...)...)
			if diff := cmp.Diff("csi-driver: "+tc.want+"\nRun 'csi-driver render --help' for usage.\n", got.stderr); diff != "" || got.code != exitUsage {
				t.Errorf("exit code %d\n%s", got.code, diff)
			}
		})
	}
}

func TestRenderTellsEachMistakeOnce(t *testing.T) {
	dir := t.TempDir()
	connectors := ""
	for _, name := range []string{"asked", "other"} {
		connectors += fmt.Sprintf("apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: %s, namespace: ci}\nspec: {adress: reg.io, issuer: {secret: {name: s}}}\n---\n", name)
	}
	good := "apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: good, namespace: ci}\nspec: {address: reg.io, issuer: {anonymous: {}}}\n"
	for name, text := range map[string]string{"ci.yaml": connectors + good, "torn.yaml": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const torn = "csi-driver: warning: torn.yaml: document 1 is not YAML: line 1: did not find expected node content\n"
	for asked, want := range map[string]string{
		"asked": torn + "csi-driver: connector ci/asked: spec.adress: unknown field; did you mean address?\n",
		"good":  torn,
	} {
		got := run(t, program(), "render", "--connectors-dir", dir, "--connectors", asked, "--namespace", "ci", "--out", filepath.Join(t.TempDir(), "out"))
		if diff := cmp.Diff(want, got.stderr); diff != "" {
			t.Errorf("%s: %s", asked, diff)
		}
	}
}

func TestRenderInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	out := filepath.Join(t.TempDir(), "out")
	var stdout, stderr strings.Builder
	code := program().Run(ctx, []string{
		"render", "--connectors-dir", robot(t, s), "--connectors", "robot", "--namespace", "ci",
		"--repositories", "team/app", "--out", out, "--allowed-hosts", "127.0.0.1",
	}, &stdout, &stderr)
	// Whether the call or who waits for it sees the end first is open.
	const who = "csi-driver: connector ci/robot: obtaining a credential for ServiceAccount ci/default: "
	if text := stderr.String(); code != exitFailed || !strings.HasPrefix(text, who) || !strings.HasSuffix(text, ": interrupted\n") || strings.Contains(text, "canceled") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
}

func TestRenderWarnsOfAnOpenDirectory(t *testing.T) {
	out := t.TempDir()
	if err := os.Chmod(out, 0o777); err != nil {
		t.Fatal(err)
	}
	got := run(t, program(), "render", "--connectors-dir", "testdata/manifests", "--connectors", "corp", "--namespace", "ci", "--out", out)
	want := "csi-driver: warning: every user can replace the files in " + out + ": chmod it to 0700, or name another directory\n"
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != want {
		t.Errorf("%+v", got)
	}
}
