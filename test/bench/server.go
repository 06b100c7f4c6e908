package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// call is what there is to say about one volume, made before it is measured.
type call struct {
	id, target string
	publish    *csi.NodePublishVolumeRequest
}

// server is a CSI server in a process of its own, with a kubelet that calls it.
type server struct {
	label   string
	kubelet *kubelet.Kubelet
	process interface {
		PID() int
		Stop() error
	}
}

func (s *server) name() string { return s.label }
func (s *server) pid() int     { return s.process.PID() }

func (s *server) publish(ctx context.Context, c call) error { return s.kubelet.Send(ctx, c.publish) }

func (s *server) unpublish(ctx context.Context, c call) error {
	return s.kubelet.Remove(ctx, c.id, c.target)
}

// stop ends the process.
func (s *server) stop() error { return errors.Join(s.kubelet.Close(), s.process.Stop()) }

// volume is the i-th inline volume: the docker configuration, the daemon's,
// and what the driver says of them; three files.
func volume(i int) kubelet.Volume {
	return kubelet.Volume{
		Namespace: "ci", Pod: "pod-" + strconv.Itoa(i), ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": "bench", "configuration.names": "docker-config,dockerd"},
	}
}

// prepare does what the kubelet does before it calls, for n volumes from first
// on.
func prepare(k *kubelet.Kubelet, first, n int) ([]call, error) {
	calls := make([]call, n)
	for i := range calls {
		v := volume(first + i)
		if err := k.Prepare(v); err != nil {
			return nil, err
		}
		calls[i] = call{id: v.ID(), target: k.Target(v), publish: k.Request(v)}
	}
	return calls, nil
}

// encoded is how config.json shows a version of login.
func encoded(version string) string {
	return base64.StdEncoding.EncodeToString([]byte("bench:" + password(version)))
}

func password(version string) string { return "made-for-this-run-" + version }

// login is the connector of all volumes, with content that names a version.
func login(version string) string {
	return `apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: bench, namespace: ci}
spec:
  address: https://registry.example.com
  issuer: {secret: {name: login}}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: bench, password: ` + password(version) + `}
`
}

// startDriver starts the driver with one connector, in a directory that it
// makes. env is added to the program's.
func startDriver(ctx context.Context, program, dir string, env []string, flags ...string) (*server, *driver.Driver, error) {
	c := driver.Config{
		Dir: dir, KubeletDir: filepath.Join(dir, "kubelet"), Connectors: filepath.Join(dir, "connectors"),
		Program: program, Env: env, Flags: flags, EndsWithParent: true,
	}
	for _, made := range []string{filepath.Join(c.KubeletDir, "pods"), c.Connectors} {
		if err := os.MkdirAll(made, 0o750); err != nil {
			return nil, nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(c.Connectors, "bench.yaml"), []byte(login("1")), 0o600); err != nil {
		return nil, nil, err
	}
	d, err := driver.Start(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	k, err := kubelet.New(c.KubeletDir, d.Endpoint())
	return &server{label: "driver", kubelet: k, process: d}, d, err
}

// startReference starts the reference server in a directory that it makes.
func startReference(ctx context.Context, dir string) (*server, error) {
	if err := os.Mkdir(dir, 0o750); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "csi.sock")
	cmd := exec.Command("/proc/self/exe", referenceVerb, socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	process, err := child.Start("reference", cmd, filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	listens := func(context.Context) error { _, err := os.Stat(socket); return err }
	if err := process.Ready(ctx, listens); err != nil {
		process.Kill()
		return nil, err
	}
	k, err := kubelet.New(dir, "unix://"+socket)
	return &server{label: "reference", kubelet: k, process: killed{process}}, err
}

// killed is a process that needs no orderly end.
type killed struct{ *child.Process }

// Stop ends it at once.
func (k killed) Stop() error {
	k.Kill()
	return nil
}

// verify looks whether what was published is there, as the server sees it.
func verify(pid int, calls []call) error {
	for _, c := range calls {
		if !shown(fmt.Sprintf("/proc/%d/root%s", pid, c.target)) {
			return fmt.Errorf("nothing is mounted at %s", c.target)
		}
	}
	return nil
}
