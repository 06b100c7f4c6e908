package hotpath

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

// patience bounds every wait; nothing is measured by it.
const patience = time.Minute

// node is a driver whose system calls are watched.
type node struct {
	t        *testing.T
	dir      string
	kubelet  *kubelet.Kubelet
	trace    *trace
	provider *provider.Provider
}

// start runs the driver, with a provider whose tokens live that long.
func start(t *testing.T, what string, life time.Duration) *node {
	n := &node{t: t, dir: t.TempDir(), provider: provider.Start(provider.Options{User: "ci", Password: "pw", Life: life})}
	t.Cleanup(n.provider.Close)
	must(t, unix.Mount("hotpath", n.dir, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { must(t, unix.Unmount(n.dir, unix.MNT_DETACH)) })
	for _, dir := range []string{"driver", "kubelet/pods", "connectors"} {
		must(t, os.MkdirAll(n.at(dir), 0o755))
	}
	n.login("first")
	n.write("connectors.yaml", fmt.Sprintf(`
apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: static, namespace: ci}
spec: {address: "https://registry.example.com", issuer: {secret: {name: login}}}
---
apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: minted, namespace: ci}
spec:
  address: http://%s
  scope: {repositories: [app], actions: [pull]}
  issuer: {distributionToken: {secretRef: {name: account}, output: registryToken, minimumLife: 1s}}
---
apiVersion: v1
kind: Secret
metadata: {name: account, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: ci, password: pw}
`, n.provider.Host()))
	n.trace = newTrace(t, n.dir)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := driver.Start(ctx, driver.Config{
		Dir: n.at("driver"), KubeletDir: n.at("kubelet"), Connectors: n.at("connectors"), EndsWithParent: true,
		Flags:   []string{"--allowed-hosts=127.0.0.1"},
		Program: n.trace.supervisor.Program(), Env: append(n.trace.supervisor.Env(), driverVariable+"="+what),
	})
	must(t, err)
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	n.kubelet, err = kubelet.New(n.at("kubelet"), d.Endpoint())
	must(t, err)
	t.Cleanup(func() { must(t, n.kubelet.Close()) })
	must(t, n.kubelet.Register(ctx)) // the connection is made
	n.trace.arm()
	return n
}

func (n *node) at(name string) string { return filepath.Join(n.dir, name) }

// write replaces a manifest in one step.
func (n *node) write(name, content string) {
	n.t.Helper()
	must(n.t, os.WriteFile(n.at("next"), []byte(content), 0o600))
	must(n.t, os.Rename(n.at("next"), filepath.Join(n.at("connectors"), name)))
}

// login writes the Secret that the static connector hands out.
func (n *node) login(password string) {
	n.t.Helper()
	n.write("login.yaml", fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: login, namespace: ci}, type: kubernetes.io/basic-auth, stringData: {username: ci, password: %s}}", password))
}

// awaitOther waits until a file of the volume is another than before.
func (n *node) awaitOther(v kubelet.Volume, file, before string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	must(n.t, child.Until(ctx, func(context.Context) error {
		data, err := os.ReadFile(filepath.Join(n.kubelet.Target(v), file))
		if err == nil && string(data) == before {
			err = errors.New("the content is still the same")
		}
		return err
	}))
}

func pod(name, connectors string) kubelet.Volume {
	return kubelet.Volume{
		Namespace: "ci", Pod: name, ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": connectors, "configuration.names": "docker-config,fields"},
	}
}

// step is a part of a volume's life and what it may do to the mount table.
type step struct {
	name   string
	do     func()
	mounts map[string]int
	calm   bool // nothing is opened, mounted, asked or written but the answer
}

// TestHotPath tells what each step of a volume's life may do.
func TestHotPath(t *testing.T) {
	n := start(t, "product", time.Hour)
	static, other := pod("a", "static"), pod("c", "static,minted")
	all := []kubelet.Volume{static, pod("b", "minted"), other}
	publish := func() {
		for _, v := range all {
			must(t, n.kubelet.Publish(t.Context(), v))
		}
	}
	unpublish := func() {
		for _, v := range all {
			must(t, n.kubelet.Unpublish(t.Context(), v))
		}
	}
	// A detached mount is filled and then moved: one mount for each volume.
	once := map[string]int{"fsmount": len(all), "move_mount": len(all)}
	for _, s := range []step{
		{name: "publish", do: publish, mounts: once},
		{name: "unpublish", do: unpublish, mounts: map[string]int{"umount2": len(all)}},
		{name: "publish with the credentials at hand", do: publish, mounts: once},
		{name: "republish", calm: true, do: func() {
			for range 20 {
				publish()
			}
		}},
		{name: "rewrite", do: func() {
			files := map[string]kubelet.Volume{"password": static, "static/password": other}
			before := map[string]string{}
			for file, v := range files {
				before[file] = n.contentOf(v, file)
			}
			n.login("second")
			for file, v := range files {
				n.awaitOther(v, file, before[file])
			}
		}},
		{name: "unpublish after a rewrite", do: unpublish, mounts: map[string]int{"umount2": len(all)}},
	} {
		n.check(s)
	}
}

// TestRenewal is a step of its own, because a credential that is soon renewed
// would be so in the midst of others.
func TestRenewal(t *testing.T) {
	n := start(t, "product", 4*time.Second)
	v := pod("b", "minted")
	must(t, n.kubelet.Publish(t.Context(), v))
	n.check(step{name: "renewal", do: func() { n.awaitOther(v, "token", n.contentOf(v, "token")) }})
	must(t, n.kubelet.Unpublish(t.Context(), v))
}

func (n *node) check(s step) {
	n.t.Helper()
	n.trace.take()
	s.do()
	seen := n.trace.take()
	if len(seen) == 0 {
		n.t.Fatalf("%s: nothing was seen, so nothing is proven", s.name)
	}
	for _, e := range forbidden(seen) {
		n.t.Errorf("%s: %s", s.name, e)
	}
	want := s.mounts
	if want == nil {
		want = map[string]int{}
	}
	if diff := cmp.Diff(want, mounts(seen)); diff != "" {
		n.t.Errorf("%s changes the mount table otherwise than it may (-want +got):\n%s", s.name, diff)
	}
	if s.calm {
		for _, e := range disturbance(seen) {
			n.t.Errorf("%s: %s", s.name, e)
		}
	}
}

// TestPlanted holds the trace itself to its word: an issuer that executes a
// program and reads the mount table is caught doing both.
func TestPlanted(t *testing.T) {
	n := start(t, "planted", time.Hour)
	must(t, n.kubelet.Publish(t.Context(), pod("a", "static")))
	var caught []string
	for _, e := range forbidden(n.trace.take()) {
		if e.call == aProcess {
			e.about = "" // by clone or vfork
		}
		if !slices.Contains(caught, e.String()) {
			caught = append(caught, e.String())
		}
	}
	want := []string{aProcess + " ", anOpen + " /proc/self/mountinfo"}
	if diff := cmp.Diff(want, caught); diff != "" {
		t.Errorf("caught otherwise than planted (-want +got):\n%s", diff)
	}
}

// contentOf reads a file of the volume.
func (n *node) contentOf(v kubelet.Volume, file string) string {
	n.t.Helper()
	data, err := os.ReadFile(filepath.Join(n.kubelet.Target(v), file))
	must(n.t, err)
	return string(data)
}

// disturbance is what a call that changes nothing may not do: write anywhere
// but to its caller, open a file, ask anybody. (The runtime wakes itself
// through an eventfd.)
func disturbance(seen []event) []event {
	return slices.DeleteFunc(slices.Clone(seen), func(e event) bool {
		return e.about == "socket" || e.about == "anon_inode:[eventfd]"
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
