package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Docker is the docker CLI with a daemon of its own. The daemon trusts what
// /etc/docker/certs.d holds; the CLI sends it the login of config.json.
type Docker struct {
	Files
	daemon *Daemon
}

// NewDocker uses a running daemon.
func NewDocker(files Files, daemon *Daemon) Docker { return Docker{Files: files, daemon: daemon} }

// Name implements Client.
func (d Docker) Name() string { return "docker" }

// Push implements Client.
func (d Docker) Push(ctx context.Context, archive, reference string) error {
	if err := d.run(ctx, "load", "--input", archive); err != nil {
		return err
	}
	if err := d.run(ctx, "tag", ArchiveName, reference); err != nil {
		return err
	}
	return d.run(ctx, "push", reference)
}

// Pull implements Client.
func (d Docker) Pull(ctx context.Context, reference string) error {
	// rmi fails when the image is not there, which is what is wanted.
	_ = d.run(ctx, "rmi", "--force", reference)
	_ = d.run(ctx, "rmi", "--force", ArchiveName)
	return d.run(ctx, "pull", reference)
}

func (d Docker) run(ctx context.Context, arguments ...string) error {
	return d.Files.run(ctx, []string{"DOCKER_CONFIG=" + d.DockerConfig, "DOCKER_HOST=unix://" + d.daemon.socket}, "docker", arguments...)
}

// Daemon is a dockerd that runs no containers: no bridge, no firewall rules.
type Daemon struct {
	process *child.Process
	socket  string
}

// StartDaemon runs dockerd in the folder dir and waits until it answers.
func StartDaemon(ctx context.Context, dir string) (*Daemon, error) {
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("config"), 0o755); err != nil {
		return nil, err
	}
	d := &Daemon{socket: at("docker.sock")}
	cmd := exec.Command("dockerd", "--host=unix://"+d.socket, "--storage-driver=vfs", "--iptables=false", "--ip6tables=false",
		"--bridge=none", "--data-root="+at("data"), "--exec-root="+at("exec"), "--pidfile="+at("pid"), "--config-file="+at("daemon.json"))
	if err := os.WriteFile(at("daemon.json"), []byte("{}\n"), 0o644); err != nil {
		return nil, err
	}
	var err error
	if d.process, err = child.Start("dockerd", cmd, at("dockerd.log")); err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		return Docker{Files: Files{DockerConfig: at("config")}, daemon: d}.run(ctx, "version")
	}
	if err := d.process.Ready(ctx, ready); err != nil {
		d.process.Kill()
		return nil, err
	}
	return d, nil
}

// Close ends the daemon, and with it its containerd.
func (d *Daemon) Close() error {
	if err := d.process.Stop(); err != nil {
		return fmt.Errorf("stopping dockerd: %w", err)
	}
	if _, err := os.Stat(d.socket); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("dockerd left its socket: %w", err)
	}
	return nil
}

// TrustCertificates makes dockerd and skopeo trust a registry by the folder
// certs.d of a volume, at the path where they look for it.
func TrustCertificates(host, certs string) error {
	return os.Symlink(filepath.Join(certs, host), filepath.Join("/etc/docker/certs.d", host))
}
