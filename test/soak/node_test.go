package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

// patience is for what happens by itself, on a machine that is busy.
const patience = time.Minute

// The lives of tokens: long enough for a renewal on a busy machine, and so
// short that a run sees many.
const (
	steadyLife = 16 * time.Second
	otherLife  = 4 * time.Second
	linger     = time.Second
)

// The Connectors, by what happens to them.
var (
	steady   = []string{"steady-0", "steady-1", "steady-2"} // nothing
	flaky    = []string{"flaky-0", "flaky-1", "flaky-2"}    // their provider fails
	changing = []string{"changing-0", "changing-1"}         // they are edited, and deleted
	static   = []string{"static-0"}                         // its Secret is edited
	garbage  = []string{"garbage"}                          // is never answered with a token
)

// node is the driver with everything around it.
type node struct {
	t        *testing.T
	dir      string
	input    string
	driver   *driver.Driver
	kubelet  *kubelet.Kubelet
	provider *provider.Provider
}

func start(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), input: t.TempDir()}
	t.Cleanup(n.unmount)
	lives := map[string]time.Duration{}
	for _, client := range steady {
		lives[client] = steadyLife
	}
	n.provider = provider.Start(provider.Options{User: "robot", Password: "login", Life: otherLife, Lives: lives})
	t.Cleanup(n.provider.Close)
	n.manifest("login", secret("login", "login"))
	for _, group := range [][]string{steady, flaky, changing, garbage} {
		for _, name := range group {
			n.manifest(name, n.tokens(name, 0))
		}
	}
	for _, name := range static {
		n.manifest(name, login(name, 0))
	}
	config := driver.Config{
		Dir: n.path("driver"), KubeletDir: n.path("kubelet"), Connectors: n.input, Program: build(t),
		Flags: []string{"--linger=" + linger.String(), "--allowed-hosts=127.0.0.1"},
	}
	for _, dir := range []string{config.Dir, n.path("kubelet/pods")} {
		must(t, os.MkdirAll(dir, 0o750))
	}
	var err error
	n.driver, err = driver.Start(n.soon(), config)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			lines := strings.Split(strings.TrimSpace(n.driver.Log()), "\n")
			t.Logf("the driver's log ends with:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
		}
		n.driver.Kill()
	})
	n.kubelet, err = kubelet.New(config.KubeletDir, n.driver.Endpoint())
	must(t, err)
	t.Cleanup(func() { _ = n.kubelet.Close() })
	return n
}

// build makes the driver, with the credential helper beside it.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "build", "-o", dir+"/",
		"github.com/regcred/csi-driver-regcred/cmd/csi-driver", "github.com/regcred/csi-driver-regcred/cmd/docker-credential-regcred")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatal(errors.Join(err, errors.New(string(out))))
	}
	return filepath.Join(dir, "csi-driver")
}

func connector(name, where, issuer string) string {
	return fmt.Sprintf("---\napiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: %s, namespace: ci}\nspec:\n  %s\n  issuer: {%s}\n", name, where, issuer)
}

func secret(name, password string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/basic-auth\nmetadata: {name: %s, namespace: ci}\nstringData: {username: robot, password: %q}\n", name, password)
}

// tokens is a Connector for registry tokens, in one of its generations.
func (n *node) tokens(name string, generation int) string {
	where := fmt.Sprintf("address: \"http://%s\"\n  scope: {repositories: [\"team/%s-%d\"], actions: [pull]}", n.provider.Host(), name, generation)
	return connector(name, where, "distributionToken: {secretRef: {name: login}, output: registryToken, minimumLife: 1s, clientID: "+name+"}")
}

// login is a Connector with a static login, in one of its generations.
func login(name string, generation int) string {
	const where = `registries: [{host: registry.example.com, mirrors: [{url: "https://mirror.example.com"}]}]`
	return secret(name, password(generation)) + connector(name, where, "secret: {name: "+name+"}")
}

// password is the n-th of a static login.
func password(n int) string { return "password-" + strconv.Itoa(n) }

// manifest writes a file of manifests as an editor does, in one step.
func (n *node) manifest(name, content string) {
	temp := filepath.Join(n.input, "."+name)
	if err := errors.Join(os.WriteFile(temp, []byte(content), 0o600), os.Rename(temp, filepath.Join(n.input, name+".yaml"))); err != nil {
		n.t.Error(err)
	}
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// mounts are the mount points below the node's directory.
func (n *node) mounts() []string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Error(err)
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, n.dir+"/") {
			points = append(points, strings.TrimPrefix(point, n.dir+"/"))
		}
	}
	return points
}

func (n *node) unmount() {
	for _, point := range slices.Backward(n.mounts()) { // what lies on another mount first
		_ = unix.Unmount(n.path(point), unix.MNT_DETACH) // the directory's removal tells
	}
}

// soon is a context for what must happen within patience.
func (n *node) soon() context.Context {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	n.t.Cleanup(cancel)
	return ctx
}

// await waits until ready answers nil.
func (n *node) await(what string, ready func(context.Context) error) {
	n.t.Helper()
	if err := child.Until(n.soon(), ready); err != nil {
		n.t.Fatalf("waiting for %s: %v", what, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
