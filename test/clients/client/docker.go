package client

import (
	"context"
	"os"
	"path/filepath"
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
	if err := d.load(ctx, archive, reference); err != nil {
		return err
	}
	return d.run(ctx, "push", reference)
}

// load gives the archive's image another name. All archives have the same.
func (d Docker) load(ctx context.Context, archive, reference string) error {
	d.daemon.naming.Lock()
	defer d.daemon.naming.Unlock()
	if err := d.run(ctx, "load", "--input", archive); err != nil {
		return err
	}
	if err := d.run(ctx, "tag", ArchiveName, reference); err != nil {
		return err
	}
	return d.run(ctx, "rmi", "--force", ArchiveName)
}

// Pull implements Client.
func (d Docker) Pull(ctx context.Context, reference string) error {
	// rmi fails when the image is not there, which is what is wanted.
	_ = d.run(ctx, "rmi", "--force", reference)
	return d.run(ctx, "pull", reference)
}

func (d Docker) run(ctx context.Context, arguments ...string) error {
	_, err := d.output(ctx, arguments...)
	return err
}

func (d Docker) output(ctx context.Context, arguments ...string) (string, error) {
	return d.Files.output(ctx, []string{"DOCKER_CONFIG=" + d.DockerConfig, "DOCKER_HOST=unix://" + d.daemon.socket}, "docker", arguments...)
}

// TrustCertificates makes dockerd and skopeo trust a registry by the folder
// certs.d of a volume, at the path where they look for it.
func TrustCertificates(host, certs string) error {
	return os.Symlink(filepath.Join(certs, host), filepath.Join("/etc/docker/certs.d", host))
}
