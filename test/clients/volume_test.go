package clients

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

const (
	namespace = "ci"
	user      = "robot"
	// canary starts every password, so that one is found wherever it leaks.
	canary   = "canary-"
	password = canary + "first"
)

// connectors are the specs of Connectors by name, beside registries.
type connectors map[string]string

// newNode is a world with a running driver that knows some Connectors, a user
// who may push to team/app and pull from team/base, and two Secrets with that
// user's login.
func newNode(t *testing.T, life time.Duration, known connectors, flags ...string) *world.World {
	t.Helper()
	w := newWorld(t, life)
	w.Tokens.SetPassword(user, password)
	w.Tokens.Grant(user, "team/app", "pull", "push")
	w.Tokens.Grant(user, "team/base", "pull")
	must(t, w.WriteCA(namespace))
	for _, secret := range []string{"login", "deploy"} {
		write(t, w, secret, world.Login(namespace, secret, user, password))
	}
	for name, spec := range known {
		write(t, w, name, w.Connector(namespace, name, spec))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.StartDriver(ctx, flags...))
	t.Cleanup(func() {
		noSecretsIn(t, w)
		if t.Failed() {
			t.Logf("the driver's log:\n%s", w.Driver.Log())
		}
	})
	return w
}

// shortToken is a Connector that gives out bearer tokens for team/app.
const shortToken = `scope: {repositories: [team/app], actions: [pull, push]}
issuer: {distributionToken: {secretRef: {name: login}, output: registryToken, minimumLife: 5s}}`

// longLogin is a Connector that gives out the login itself.
const longLogin = `allowLongLived: true
issuer: {distributionToken: {secretRef: {name: login}, output: basic}}`

func aVolume(pod, connectors string) kubelet.Volume {
	return kubelet.Volume{
		Namespace: namespace, Pod: pod, ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": connectors},
	}
}

// publish mounts a volume at the first try.
func publish(t *testing.T, w *world.World, v kubelet.Volume) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.Kubelet.Publish(ctx, v))
}

// publishSoon mounts a volume whose Connectors may have been written just now.
func publishSoon(t *testing.T, w *world.World, v kubelet.Volume) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	must(t, child.Until(ctx, func(ctx context.Context) error { return w.Kubelet.Publish(ctx, v) }))
}

// refused publishes a volume that must be refused with this code and these
// words, and must leave nothing behind.
func refused(t *testing.T, w *world.World, v kubelet.Volume, code codes.Code, message string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := w.Kubelet.Publish(ctx, v)
	if got := status.Convert(err); got.Code() != code || got.Message() != message {
		t.Errorf("the driver answers\n\t%s: %s\nwant\n\t%s: %s", got.Code(), got.Message(), code, message)
	}
	must(t, w.Kubelet.Forget(v))
	nothingLeft(t, w)
}

// nothingLeft: no mount, directory or record of any volume.
func nothingLeft(t *testing.T, w *world.World) {
	t.Helper()
	left, err := w.Leftovers()
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

func unpublish(t *testing.T, w *world.World, v kubelet.Volume) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.Kubelet.Unpublish(ctx, v))
}

func write(t *testing.T, w *world.World, name, manifest string) {
	t.Helper()
	must(t, w.Write(name, manifest))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entry is what config.json says of one registry.
type entry struct {
	Auth          string `json:"auth,omitempty"`
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
	RegistryToken string `json:"registrytoken,omitempty"`
}

// auths reads a published config.json.
func auths(w *world.World, v kubelet.Volume) (map[string]entry, error) {
	content, err := os.ReadFile(filepath.Join(w.Kubelet.Target(v), "config.json"))
	if err != nil {
		return nil, err
	}
	var config struct {
		Auths map[string]entry `json:"auths"`
	}
	err = json.Unmarshal(content, &config)
	return config.Auths, err
}

// shown is the entry for the world's registry.
func shown(t *testing.T, w *world.World, v kubelet.Volume) entry {
	t.Helper()
	all, err := auths(w, v)
	must(t, err)
	return all[w.Registry.Host()]
}

// awaitEntry waits until config.json shows an entry that satisfies want.
func awaitEntry(t *testing.T, w *world.World, v kubelet.Volume, limit time.Duration, want func(entry) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %s", limit))
	defer cancel()
	must(t, child.Until(ctx, func(context.Context) error {
		all, err := auths(w, v)
		if err == nil && !want(all[w.Registry.Host()]) {
			err = errors.New("config.json does not show what was awaited")
		}
		return err
	}))
}

func isLogin(user, password string) func(entry) bool {
	return func(e entry) bool {
		return e.Auth == base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
}

// visible is what programs in a container read of a volume's top folder.
func visible(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	all := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // how the files are switched is the driver's own business
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, err)
		all[e.Name()] = string(content)
	}
	return all
}

// files is everything below a folder, links left aside: a path per file, with
// its content.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir+"/")] = string(content)
		return err
	}))
	return all
}

// filesOf makes a client see a volume the way a container does.
func filesOf(w *world.World, v kubelet.Volume) client.Files {
	return client.Files{DockerConfig: w.Kubelet.Target(v), CA: filepath.Join(w.Kubelet.Target(v), "ca.crt")}
}

// pushAndPull does both, each to and from the registry itself.
func pushAndPull(t *testing.T, w *world.World, c client.Client, archive, tag string) {
	t.Helper()
	reference := w.Image("team/app", c.Name()+"-"+tag)
	if err := c.Push(t.Context(), archive, reference); err != nil {
		t.Errorf("pushing: %v", err)
		return
	}
	if err := c.Pull(t.Context(), reference); err != nil {
		t.Errorf("pulling: %v", err)
	}
}

func issued(w *world.World) int { return len(w.Tokens.Issued()) }

// noSecretsIn reads all that the driver wrote: log, audit log and state.
func noSecretsIn(t *testing.T, w *world.World) {
	t.Helper()
	secrets := []string{canary, base64.StdEncoding.EncodeToString([]byte(user + ":" + canary))[:16]}
	for _, token := range w.Tokens.Issued() {
		secrets = append(secrets, token.Raw[strings.LastIndex(token.Raw, ".")+1:])
	}
	written := files(t, w.Driver.StateDir())
	written["log"] = w.Driver.Log()
	audit, err := w.Driver.Audit()
	must(t, err)
	written["audit log"] = fmt.Sprint(audit)
	for name, text := range written {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("the driver's %s holds a secret (%s…)", name, secret[:7])
			}
		}
	}
}
