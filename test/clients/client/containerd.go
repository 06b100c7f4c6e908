package client

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Containerd is a containerd that keeps images and runs no containers.
type Containerd struct {
	process     *child.Process
	ctr         string
	socket      string
	environment []string
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
[plugins."io.containerd.transfer.v1.local"]
unpack_config = [{platform = "linux/%s", snapshotter = "native"}]
`

// StartContainerd runs a containerd in the folder dir and waits until the ctr
// beside it is answered. Both have what is added to the environment: which of
// them speaks to registries depends on the version.
func StartContainerd(ctx context.Context, program, dir string, environment ...string) (*Containerd, error) {
	at := func(name string) string { return filepath.Join(dir, name) }
	c := &Containerd{ctr: strings.Replace(program, "containerd", "ctr", 1), socket: at("containerd.sock"), environment: environment}
	config := fmt.Sprintf(containerdConfig, at("data"), at("state"), c.socket, runtime.GOARCH)
	if err := os.WriteFile(at("config.toml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	var err error
	cmd := exec.Command(program, "--config", at("config.toml"))
	cmd.Env = append(os.Environ(), environment...)
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
	return Files{}.run(ctx, c.Daemon.environment, c.Daemon.ctr, append([]string{"--address", c.Daemon.socket}, arguments...)...)
}
