package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// server is a CSI server in a process of its own, with a client to it.
type server struct {
	name string
	dir  string // its kubelet directory
	cmd  *exec.Cmd
	log  *os.File
	conn *grpc.ClientConn
	node csi.NodeClient
}

const connectors = `apiVersion: regcred.dev/v1alpha1
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
stringData: {username: bench, password: made-for-this-run}
`

func startReference(ctx context.Context, dir string) (*server, error) {
	s := &server{name: "reference", dir: dir}
	return s, s.start(ctx, "/proc/self/exe", "reference", s.socket())
}

func startDriver(ctx context.Context, binary, dir string) (*server, error) {
	manifests := filepath.Join(dir, "manifests")
	if err := os.MkdirAll(manifests, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(manifests, "bench.yaml"), []byte(connectors), 0o600); err != nil {
		return nil, err
	}
	s := &server{name: "driver", dir: dir}
	return s, s.start(ctx, binary, "node", "--connectors-dir", manifests, "--kubelet-dir", dir, "--endpoint", "unix://"+s.socket(),
		"--node-id", "bench", "--http-address", "", "--audit-log", filepath.Join(dir, "audit.log"))
}

func (s *server) socket() string { return filepath.Join(s.dir, "csi.sock") }

// start runs the program and waits until it answers.
func (s *server) start(ctx context.Context, program string, args ...string) (err error) {
	if err := os.MkdirAll(filepath.Join(s.dir, "pods"), 0o750); err != nil {
		return err
	}
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		return err
	}
	s.cmd = exec.CommandContext(ctx, program, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.conn, err = grpc.NewClient("unix://"+s.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	s.node = csi.NewNodeClient(s.conn)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if _, err := csi.NewIdentityClient(s.conn).Probe(ctx, &csi.ProbeRequest{}, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("%s does not answer, see %s: %w", s.name, s.log.Name(), err)
	}
	return nil
}

// stop ends the process.
func (s *server) stop() {
	_ = s.conn.Close()                        // nothing is in flight
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	_ = s.cmd.Wait()                          // the signal is its end
	_ = s.log.Close()                         // the process wrote it
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) target(i int) string {
	return filepath.Join(s.dir, "pods", "uid-"+strconv.Itoa(i), "volumes", "kubernetes.io~csi", "registry", "mount")
}

// prepare does what the kubelet does before it calls.
func (s *server) prepare(i int) error {
	dir := filepath.Dir(s.target(i))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "vol_data.json"), []byte(`{"volumeHandle":"`+id(i)+`"}`), 0o600)
}

func id(i int) string { return "csi-" + strconv.Itoa(i) }

func (s *server) publish(i int) error {
	pod := "pod-" + strconv.Itoa(i)
	_, err := s.node.NodePublishVolume(context.Background(), &csi.NodePublishVolumeRequest{
		VolumeId: id(i), TargetPath: s.target(i), Readonly: true,
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		},
		VolumeContext: map[string]string{
			"csi.storage.k8s.io/ephemeral": "true", "csi.storage.k8s.io/pod.name": pod, "csi.storage.k8s.io/pod.namespace": "ci",
			"csi.storage.k8s.io/pod.uid": "uid-" + strconv.Itoa(i), "csi.storage.k8s.io/serviceAccount.name": "builder",
			"connectors": "bench", "configuration.names": "docker-config,dockerd",
		},
	})
	return err
}

// republish is the same call on a published volume.
func (s *server) republish(i int) error { return s.publish(i) }

func (s *server) unpublish(i int) error {
	_, err := s.node.NodeUnpublishVolume(context.Background(), &csi.NodeUnpublishVolumeRequest{VolumeId: id(i), TargetPath: s.target(i)})
	return err
}
