package abuse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// patience is for what happens by itself, on a machine that is busy.
const patience = 30 * time.Second

// node is a driver with a kubelet, and all that the driver said on its socket.
type node struct {
	t       *testing.T
	dir     string // everything but the manifests is below
	input   string // the manifests
	driver  *driver.Driver
	kubelet *kubelet.Kubelet
	helper  []byte // the program that volumes with docker-helper bring
	told    []string
}

// setup is what a test chooses.
type setup struct {
	program   string            // empty = the test binary, with the issuers of these tests
	manifests map[string]string // by file
	flags     []string
	env       []string
}

func start(t *testing.T, s setup) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), input: t.TempDir()}
	t.Cleanup(n.unmount) // what a killed driver leaves, before its directories go
	config := driver.Config{
		Dir: n.path("driver"), KubeletDir: n.path("kubelet"), Connectors: n.input,
		Flags: s.flags, Program: s.program, Env: append(s.env, "TMPDIR="+n.path("tmp"), "HOME="+n.path("home")),
	}
	var err error
	if s.program == "" {
		config.Program, config.Env = "/proc/self/exe", append(config.Env, asDriver+"=1")
	} else {
		n.helper, err = os.ReadFile(filepath.Join(filepath.Dir(s.program), helperName))
		must(t, err)
	}
	for _, dir := range []string{config.Dir, filepath.Join(config.KubeletDir, "pods"), n.path("tmp"), n.path("home")} {
		must(t, os.MkdirAll(dir, 0o750))
	}
	for name, content := range s.manifests {
		n.manifest(name, content)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.driver, err = driver.Start(ctx, config)
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the driver's log ends with:\n%s", tail(n.driver.Log(), 60))
		}
		n.driver.Kill()
	})
	n.kubelet, err = kubelet.New(config.KubeletDir, n.driver.Endpoint())
	must(t, err)
	t.Cleanup(func() { _ = n.kubelet.Close() })
	return n
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// manifest writes a file of manifests as an editor does, in one step.
func (n *node) manifest(name, content string) {
	n.t.Helper()
	temp := filepath.Join(n.input, "."+name)
	must(n.t, os.WriteFile(temp, []byte(content), 0o600))
	must(n.t, os.Rename(temp, filepath.Join(n.input, name+".yaml")))
}

// publish sends what a kubelet sends for the volume, altered by change.
func (n *node) publish(v kubelet.Volume, change ...func(*csi.NodePublishVolumeRequest)) error {
	n.t.Helper()
	must(n.t, n.kubelet.Prepare(v))
	req := n.kubelet.Request(v)
	for _, c := range change {
		c(req)
	}
	return n.note(n.kubelet.Send(n.t.Context(), req))
}

// note keeps an error as the caller of the socket sees it, details included.
func (n *node) note(err error) error {
	if err != nil {
		n.told = append(n.told, err.Error(), prototext.Format(status.Convert(err).Proto()))
	}
	return err
}

// refused fails the test unless the error has the code, and one line that an
// event can hold.
func refused(t *testing.T, err error, code codes.Code) {
	t.Helper()
	message := status.Convert(err).Message()
	switch {
	case status.Code(err) != code:
		t.Errorf("got %v, want %s", err, code)
	case strings.ContainsAny(message, "\n\r\t") || len(message) < 20 || len(message) > 800:
		t.Errorf("not a readable line: %q", message)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until ready answers nil.
func await(t *testing.T, what string, ready func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := child.Until(ctx, func(context.Context) error { return ready() }); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// logged waits until the driver has written a text.
func (n *node) logged(text string) {
	n.t.Helper()
	await(n.t, fmt.Sprintf("%q in the log", text), func() error {
		if !strings.Contains(n.driver.Log(), text) {
			return errors.New("not there")
		}
		return nil
	})
}

// unmount takes away what is mounted below the node's directory.
func (n *node) unmount() {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		n.t.Error(err)
	}
	for line := range strings.Lines(string(table)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, n.dir+"/") {
			_ = unix.Unmount(point, unix.MNT_DETACH) // the directory's removal tells
		}
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
