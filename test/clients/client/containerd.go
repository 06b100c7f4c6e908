package client

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Containerd is a containerd that keeps images and runs no containers.
type Containerd struct {
	process *child.Process
	ctr     string
	socket  string
}

// Only what images need: no kubelet's socket, and snapshots by plain copies,
// which work on every file system.
const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = [
	"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
	"io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.btrfs",
	"io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
]
[grpc]
address = %q
`

// StartContainerd runs the containerd and the ctr whose names have this suffix
// in the folder dir, and waits until it answers.
func StartContainerd(ctx context.Context, suffix, dir string) (*Containerd, error) {
	at := func(name string) string { return filepath.Join(dir, name) }
	c := &Containerd{ctr: "ctr" + suffix, socket: at("containerd.sock")}
	config := fmt.Sprintf(containerdConfig, at("data"), at("state"), c.socket)
	if err := os.WriteFile(at("config.toml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	var err error
	cmd := exec.Command("containerd"+suffix, "--config", at("config.toml"))
	if c.process, err = child.Start("containerd", cmd, at("containerd.log")); err != nil {
		return nil, err
	}
	if err := c.process.Ready(ctx, func(ctx context.Context) error { return Ctr{Daemon: c}.run(ctx, "version") }); err != nil {
		c.process.Kill()
		return nil, err
	}
	return c, nil
}

// Close ends containerd.
func (c *Containerd) Close() error { return c.process.Stop() }

// Ctr is containerd's ctr. It takes a volume's folder of hosts.toml files, and
// its user and password only as a flag.
type Ctr struct {
	Daemon *Containerd
	// HostsDir is the folder of the `containerd` configuration.
	HostsDir string
	// Login is the folder of the `fields` configuration; empty means none.
	Login string
	// CA is a file of authorities that count beside those of HostsDir: for a
	// token server behind a registry without TLS. Empty means none.
	CA string
}

// Name implements Client.
func (c Ctr) Name() string { return "ctr" }

// Push implements Client.
func (c Ctr) Push(ctx context.Context, archive, reference string) error {
	if err := c.run(ctx, "images", "import", "--no-unpack", archive); err != nil {
		return err
	}
	flags, err := c.flags()
	if err != nil {
		return err
	}
	return c.run(ctx, append(append([]string{"images", "push"}, flags...), reference, ArchiveName)...)
}

// Pull implements Client.
func (c Ctr) Pull(ctx context.Context, reference string) error {
	// They may not be there, which is what is wanted.
	_ = c.run(ctx, "images", "rm", "--sync", reference, ArchiveName)
	flags, err := c.flags()
	if err != nil {
		return err
	}
	return c.run(ctx, append(append([]string{"images", "pull", "--snapshotter", "native"}, flags...), reference)...)
}

// flags reads the login anew, as a script does by "$(cat …/username)".
func (c Ctr) flags() ([]string, error) {
	flags := []string{"--hosts-dir", c.HostsDir}
	if c.Login == "" {
		return flags, nil
	}
	user, err := os.ReadFile(filepath.Join(c.Login, "username"))
	if err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(c.Login, "password"))
	return append(flags, "--user", string(user)+":"+string(password)), err
}

func (c Ctr) run(ctx context.Context, arguments ...string) error {
	return Files{}.run(ctx, []string{"SSL_CERT_FILE=" + c.CA}, c.Daemon.ctr, append([]string{"--address", c.Daemon.socket}, arguments...)...)
}
