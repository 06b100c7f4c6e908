package sanity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// password is what the volumes deliver, and what nothing else may show.
const password = "canary-9d41"

const startTime = 20 * time.Second

// manifests are what a platform team would write.
const manifests = `apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: harbor, namespace: ci}
spec:
  address: https://harbor.example.com
  issuer:
    secret: {name: harbor-login}
---
apiVersion: v1
kind: Secret
metadata: {name: harbor-login, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: robot, password: ` + password + `}
`

// process is a running driver with directories of its own.
type process struct {
	dir, kubeletDir string
	cmd             *exec.Cmd
	ended           chan error // has one value when the process has ended
}

// startDriver builds the product, starts it as a node does and waits until it
// answers.
func startDriver(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	d := &process{dir: dir, kubeletDir: filepath.Join(dir, "kubelet"), ended: make(chan error, 1)}
	connectors := filepath.Join(dir, "connectors")
	for _, path := range []string{connectors, filepath.Join(d.kubeletDir, "pods")} {
		if err := os.MkdirAll(path, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(connectors, "harbor.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "csi-driver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/regcred/csi-driver-regcred/cmd/csi-driver").CombinedOutput(); err != nil {
		t.Fatalf("building the driver: %v\n%s", err, out)
	}
	d.cmd = exec.CommandContext(t.Context(), binary, "node",
		"--connectors-dir="+connectors, "--kubelet-dir="+d.kubeletDir, "--endpoint="+d.endpoint(),
		"--state-dir="+filepath.Join(dir, "state"), "--runtime-dir="+filepath.Join(dir, "run"),
		"--node-id=n1", "--http-address=", "--linger=1ms", "--v=10")
	log, err := os.Create(d.log())
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(d.cmd.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the driver's log:\n%s", d.written(t))
		}
	})
	d.await(t)
	return d
}

func (d *process) endpoint() string { return "unix://" + filepath.Join(d.dir, "csi.sock") }

func (d *process) log() string { return filepath.Join(d.dir, "driver.log") }

func (d *process) written(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(d.log())
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// await returns when the driver answers, and fails at once when it has ended.
func (d *process) await(t *testing.T) {
	t.Helper()
	conn, err := grpc.NewClient(d.endpoint(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, MaxDelay: 50 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := csi.NewIdentityClient(conn).Probe(ctx, &csi.ProbeRequest{}, grpc.WaitForReady(true))
		answered <- err
	}()
	select {
	case err := <-answered:
		if err != nil {
			t.Fatalf("the driver does not answer: %v", err)
		}
	case err := <-d.ended:
		d.ended <- err
		t.Fatalf("the driver ended: %v", err)
	}
}

// stop ends the driver as the kubelet ends a container.
func (d *process) stop(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-d.ended; err != nil {
		t.Errorf("the driver ended with %v", err)
	}
}

// leftNothing looks at what a driver that has ended left behind.
func (d *process) leftNothing(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, d.dir) {
			t.Errorf("still mounted: %s", line)
		}
	}
	if _, err := os.Lstat(strings.TrimPrefix(d.endpoint(), "unix://")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(d.kubeletDir, "pods")); err != nil || len(left) > 0 {
		t.Errorf("left in pods: %v, %v", left, err)
	}
	log := d.written(t)
	for _, form := range []string{password, base64.StdEncoding.EncodeToString([]byte("robot:" + password)), fmt.Sprintf("%x", password)} {
		if strings.Contains(log, form) {
			t.Errorf("the driver wrote the password as %q", form)
		}
	}
	if !strings.Contains(log, "Volume published") {
		t.Error("the driver wrote nothing about its volumes")
	}
}
