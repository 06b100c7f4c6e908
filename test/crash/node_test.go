package crash

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"

	"github.com/regcred/csi-driver-regcred/test/crash/provider"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// patience bounds every wait; nothing is measured by it. An orphan goes after
// more than a minute.
const patience = 3 * time.Minute

const namespace = "ci"

// node is a machine with a kubelet, a driver that can be killed, and a
// provider that no kill reaches.
type node struct {
	t        *testing.T
	dir      string
	standing []kubelet.Volume // published all the time, and read all the time
	readers  []func()         // end reading
	held     []hold
	provider *provider.Provider
	driver   *driver.Driver
	kubelet  *kubelet.Kubelet
	killer   *killer // nil unless asked for
	disk     bool    // the state directory is a file system of its own
	kept     bool    // a new credential was, when it was killed last
	where    string  // the driver was killed last, while that is being mended
}

// newNode starts a node whose driver may be killed before any system call if
// deadly. All it mounts lies below one directory and goes with the test.
func newNode(t *testing.T, deadly bool, flags ...string) *node {
	t.Helper()
	n := &node{t: t}
	var err error
	n.dir, err = os.MkdirTemp("", "crash-") //nolint:usetesting // short, because sockets lie in it
	must(t, err)
	t.Cleanup(func() { must(t, os.Remove(n.dir)) })
	must(t, unix.Mount("crash", n.dir, "tmpfs", 0, "mode=0755"))
	t.Cleanup(n.unmountAll)
	for _, dir := range []string{n.at("kubelet/pods"), n.at("connectors"), n.at("driver")} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	n.provider, err = provider.Start()
	must(t, err)
	t.Cleanup(func() { must(t, n.provider.Close()) })
	n.declare("objects", `sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken}}`)
	n.login("deploy", "first")
	n.write("static.yaml", "{apiVersion: regcred.dev/v1alpha1, kind: Connector, metadata: {name: static, namespace: "+namespace+"}, spec: {address: static.test, issuer: {secret: {name: deploy}}}}\n")

	config := driver.Config{
		Dir: n.at("driver"), KubeletDir: n.at("kubelet"), Connectors: n.at("connectors"), Program: "/proc/self/exe",
		Env: []string{driverVariable + "=1"}, EndsWithParent: true,
		Flags: append([]string{"--allowed-hosts=127.0.0.1", "--linger=0s", "--credential-helper=" + os.Getenv(helperVariable)}, flags...),
	}
	if deadly {
		n.killer = newKiller(t, n.dir)
		config.Env = append(config.Env, n.killer.supervisor.Env()...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.driver, err = driver.Start(ctx, config)
	must(t, err)
	t.Cleanup(func() {
		n.driver.Kill()
		if t.Failed() {
			t.Logf("%s; the driver's log:\n%s", n.where, tail(n.driver.Log()))
		}
	})
	n.kubelet, err = kubelet.New(n.at("kubelet"), n.driver.Endpoint())
	must(t, err)
	t.Cleanup(func() { must(t, n.kubelet.Close()) })
	return n
}

func (n *node) at(name string) string { return filepath.Join(n.dir, name) }

// mounts are the mount points below a directory, relative to it.
func (n *node) mountsBelow(dir string) []string {
	n.t.Helper()
	table, err := mount.ParseMountInfo("/proc/self/mountinfo")
	must(n.t, err)
	var points []string
	for _, m := range table {
		if rel, below := strings.CutPrefix(m.MountPoint, dir+"/"); below {
			points = append(points, rel)
		}
	}
	return points
}

func (n *node) unmountAll() {
	if err := unix.Unmount(n.dir, unix.MNT_DETACH); err != nil {
		n.t.Errorf("unmounting %s: %v", n.dir, err)
	}
}

// declare writes a Connector of the provider's registry.
func (n *node) declare(name, spec string) {
	n.t.Helper()
	n.write(name+".yaml", fmt.Sprintf("{apiVersion: regcred.dev/v1alpha1, kind: Connector, metadata: {name: %s, namespace: %s}, spec: {address: \"http://%s\", %s}}\n",
		name, namespace, n.provider.Host(), spec))
}

// login writes a Secret with a user name and a password.
func (n *node) login(name, user string) {
	n.t.Helper()
	n.write("secret-"+name+".yaml", fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s, namespace: %s}, type: kubernetes.io/basic-auth, stringData: {username: %s, password: %s}}\n",
		name, namespace, user, passwordOf(user)))
}

// passwordOf tells a whole static login from a torn one.
func passwordOf(user string) string { return strings.Repeat("p-"+user+".", 20) }

// write replaces a manifest in one step.
func (n *node) write(name, content string) {
	n.t.Helper()
	next := n.at("next-" + name)
	must(n.t, os.WriteFile(next, []byte(content), 0o600))
	must(n.t, os.Rename(next, filepath.Join(n.at("connectors"), name)))
}

// credentialRecords are the whole credentials that a restart finds.
func (n *node) credentialRecords() []string {
	n.t.Helper()
	records, err := filepath.Glob(filepath.Join(n.driver.RuntimeDir(), "credentials", "*"))
	must(n.t, err)
	return slices.DeleteFunc(records, func(r string) bool { return filepath.Ext(r) != "" })
}

// start runs the driver again, after it has ended.
func (n *node) start() error {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	n.kubelet.Lost(ctx)
	return n.driver.Start(ctx)
}

// stand publishes volumes whose pods read them all the time, whatever happens
// to the driver, and never find a file missing or torn.
func (n *node) stand(volumes ...kubelet.Volume) {
	n.t.Helper()
	for _, v := range volumes {
		must(n.t, n.publish(v))
		n.standing = append(n.standing, v)
		n.readers = append(n.readers, n.read(v))
	}
	n.settled(n.standing...)
}

// stopReading ends the reading of standing volumes, before they go.
func (n *node) stopReading() {
	for _, stop := range n.readers {
		stop()
	}
}

// leavesNothing stops the driver of a node without volumes: then there is
// nothing of it in the world but its logs.
func (n *node) leavesNothing() {
	n.t.Helper()
	must(n.t, n.driver.Stop())
	got, err := n.census()
	must(n.t, err)
	got = slices.DeleteFunc(got, func(item string) bool { return item == "seccomp.sock" })
	if diff := cmp.Diff([]string{"driver/audit.log", "driver/driver.log"}, got); diff != "" {
		n.t.Errorf("left after a clean stop (-want +got):\n%s", diff)
	}
}

var inode = regexp.MustCompile(`:\[\d+\]$`)

// descriptors are what the driver has open, without the numbers that differ
// from one socket to the next.
func (n *node) descriptors() []string {
	n.t.Helper()
	open, err := n.driver.Descriptors()
	must(n.t, err)
	for i := range open {
		open[i] = inode.ReplaceAllString(open[i], "")
	}
	slices.Sort(open)
	return open
}

// giveDisk restarts the driver with a state directory on a disk of its own.
func (n *node) giveDisk() {
	n.t.Helper()
	must(n.t, n.driver.Stop())
	must(n.t, os.MkdirAll(n.driver.StateDir(), 0o700))
	must(n.t, unix.Mount("disk", n.driver.StateDir(), "tmpfs", 0, "mode=0700,size=1m"))
	n.disk = true
	must(n.t, n.start())
}

// restart kills the driver, if it lives, and runs it again in peace.
func (n *node) restart() {
	n.t.Helper()
	n.driver.Kill()
	if n.killer != nil {
		n.killer.Arm(0)
	}
	must(n.t, n.start())
}

func (n *node) publish(v kubelet.Volume) error {
	ctx, cancel := n.whileItRuns()
	defer cancel()
	return n.kubelet.Publish(ctx, v)
}

func (n *node) unpublish(v kubelet.Volume) error {
	ctx, cancel := n.whileItRuns()
	defer cancel()
	return n.kubelet.Unpublish(ctx, v)
}

// whileItRuns bounds a call by the life of the driver: the kubelet does not wait
// for a dead one.
func (n *node) whileItRuns() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	go func() {
		select {
		case <-n.driver.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// vanish is a pod that was removed by force while nobody watched. As the kubelet
// does, it keeps away from what is mounted, and from the path to it.
func (n *node) vanish(v kubelet.Volume) {
	n.t.Helper()
	pod := filepath.Join(n.at("kubelet/pods"), v.PodUID())
	if len(n.mountsBelow(pod)) == 0 {
		must(n.t, os.RemoveAll(pod))
		return
	}
	must(n.t, os.Remove(filepath.Join(filepath.Dir(n.kubelet.Target(v)), "vol_data.json")))
}

// aPod asks for one volume with credentials of the connectors.
func aPod(name, connectors string, attributes ...string) kubelet.Volume {
	v := kubelet.Volume{Namespace: namespace, Pod: name, ServiceAccount: "builder", Name: "registry", Attributes: map[string]string{
		"connectors": connectors, "configuration.names": "docker-config,fields",
	}}
	for _, a := range attributes {
		key, value, _ := strings.Cut(a, "=")
		v.Attributes[key] = value
	}
	return v
}

// aHelpedPod asks for a credential helper instead of logins in config.json.
func aHelpedPod(name, connectors string) kubelet.Volume {
	return aPod(name, connectors, "configuration.names=docker-helper,fields")
}

func isHelped(v kubelet.Volume) bool {
	return strings.Contains(v.Attributes["configuration.names"], "docker-helper")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
