package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Daemon is a dockerd that runs no containers: no bridge, no firewall rules.
type Daemon struct {
	process *child.Process
	socket  string
	naming  sync.Mutex // held where all images have one name
}

// Dockerd says what a dockerd finds where.
type Dockerd struct {
	// Program is the dockerd to run; empty means Debian's.
	Program string
	// OwnStore leaves images to the store that dockerd has when nobody names
	// one; else it is vfs, which works wherever files can be written.
	OwnStore bool
	// Dir is an empty folder for its state, with a short name.
	Dir string
	// ConfigFile is its daemon.json; empty means one without any setting.
	ConfigFile string
	// Mounts are folders that it alone finds elsewhere, as in a container:
	// the path where it looks, and what is there.
	Mounts map[string]string
	// Environment is added to the tests' own.
	Environment []string
}

// StartDaemon runs dockerd in the folder dir, with variables added to the
// tests' own, and waits until it answers.
func StartDaemon(ctx context.Context, dir string, environment ...string) (*Daemon, error) {
	return Dockerd{Dir: dir, Environment: environment}.Start(ctx)
}

// Start runs dockerd and waits until it answers. Every user may call it.
func (c Dockerd) Start(ctx context.Context) (*Daemon, error) {
	at := func(name string) string { return filepath.Join(c.Dir, name) }
	if err := os.MkdirAll(at("config"), 0o755); err != nil {
		return nil, err
	}
	if c.ConfigFile == "" {
		c.ConfigFile = at("daemon.json")
		if err := os.WriteFile(c.ConfigFile, []byte("{}\n"), 0o644); err != nil {
			return nil, err
		}
	}
	if c.Program == "" {
		c.Program = "dockerd"
	}
	d := &Daemon{socket: at("docker.sock")}
	flags := []string{
		"--host=unix://" + d.socket, "--iptables=false", "--ip6tables=false", "--bridge=none",
		"--data-root=" + at("data"), "--exec-root=" + at("exec"), "--pidfile=" + at("pid"), "--config-file=" + c.ConfigFile,
	}
	if !c.OwnStore {
		flags = append(flags, "--storage-driver=vfs")
	}
	cmd := WithMounts(context.WithoutCancel(ctx), c.Mounts, c.Program, flags...)
	cmd.Env = append(os.Environ(), c.Environment...)
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
	return d, errors.Join(os.Chmod(c.Dir, 0o711), os.Chmod(d.socket, 0o666))
}

// WithMounts runs a program in a mount namespace of its own, where folders
// are bound to the paths at which it looks for them. The mounts end with it.
func WithMounts(ctx context.Context, mounts map[string]string, program string, arguments ...string) *exec.Cmd {
	if len(mounts) == 0 {
		return exec.CommandContext(ctx, program, arguments...)
	}
	const script = `set -e; while [ "$1" != -- ]; do mount --rbind "$1" "$2"; shift 2; done; shift; exec "$@"`
	shell := []string{"-c", script, "sh"}
	for _, at := range slices.Sorted(maps.Keys(mounts)) { // a folder comes before what is mounted in it
		shell = append(shell, mounts[at], at)
	}
	cmd := exec.CommandContext(ctx, "sh", append(append(shell, "--", program), arguments...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

// Socket is where the daemon is called.
func (d *Daemon) Socket() string { return d.socket }

// Reload makes dockerd read its configuration again. It does so some time
// after the signal, and only its log tells when it refuses what it reads.
func (d *Daemon) Reload() error { return syscall.Kill(d.process.PID(), syscall.SIGHUP) }

// Log is what dockerd wrote so far.
func (d *Daemon) Log() string { return d.process.Log() }

// Registries are the settings for registries that are in force.
type Registries struct {
	Mirrors []string
	// Insecure are the hosts that need no certificate.
	Insecure []string
}

// Registries asks for the settings that are in force.
func (d *Daemon) Registries(ctx context.Context) (Registries, error) {
	answer, err := Docker{daemon: d}.output(ctx, "info", "--format", "{{json .RegistryConfig}}")
	if err != nil {
		return Registries{}, err
	}
	var config struct {
		Mirrors      []string
		IndexConfigs map[string]struct{ Secure bool }
	}
	if err := json.Unmarshal([]byte(answer), &config); err != nil {
		return Registries{}, fmt.Errorf("reading %q: %w", answer, err)
	}
	registries := Registries{Mirrors: config.Mirrors}
	for host, index := range config.IndexConfigs {
		if !index.Secure {
			registries.Insecure = append(registries.Insecure, host)
		}
	}
	return registries, nil
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
