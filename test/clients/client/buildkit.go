package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
)

// Buildkit is a buildkitd that runs its steps with runc, in the network of who
// started it.
type Buildkit struct {
	process     *child.Process
	ended       bool // by a signal
	dir, cgroup string
}

// BuildkitOptions say how a buildkitd runs.
type BuildkitOptions struct {
	Config      string // buildkitd.toml
	Cgroup      string // below which steps get theirs
	Flags       []string
	Environment []string
}

// StartBuildkit runs buildkitd in the folder dir and waits until it answers.
func StartBuildkit(ctx context.Context, dir string, o BuildkitOptions) (*Buildkit, error) {
	b := &Buildkit{dir: dir, cgroup: o.Cgroup}
	cmd := exec.Command("buildkitd", append([]string{
		"--config=" + o.Config, "--addr=" + b.address(), "--root=" + filepath.Join(dir, "root"),
		"--otel-socket-path=" + filepath.Join(dir, "otel.sock"), "--containerd-worker=false",
		"--oci-worker-binary=runc", "--oci-worker-snapshotter=native", "--oci-worker-net=host",
	}, o.Flags...)...)
	cmd.Dir = dir // where a relative path in the file would lead
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, o.Environment...)
	var err error
	if b.process, err = child.Start("buildkitd", cmd, filepath.Join(dir, "buildkitd.log")); err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error {
		return Files{}.run(ctx, nil, "buildctl", "--addr="+b.address(), "debug", "workers")
	}
	if err := b.process.Ready(ctx, ready); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Buildkit) address() string { return "unix://" + filepath.Join(b.dir, "buildkitd.sock") }

// Log is what buildkitd wrote.
func (b *Buildkit) Log() string { return b.process.Log() }

// Signal sends a signal that is expected to end buildkitd, and tells how it
// ended.
func (b *Buildkit) Signal(signal syscall.Signal) *os.ProcessState {
	b.ended = true
	return b.process.Signal(signal)
}

// Close ends buildkitd and removes what it made. It must leave no mount.
func (b *Buildkit) Close() error {
	var err error
	if !b.ended {
		err = b.process.Stop()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // so it ends whenever it is told to end
	}
	err = errors.Join(err, sandbox.RemoveCgroup(b.cgroup))
	table, read := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], b.dir+"/") {
			err = errors.Join(err, fmt.Errorf("buildkitd left the mount %s", fields[4]), syscall.Unmount(fields[4], syscall.MNT_DETACH))
		}
	}
	return errors.Join(err, read, os.RemoveAll(b.dir))
}

// Build is what a build is to do.
type Build struct {
	Dockerfile string
	Push       string // reference of the result; empty = it is only unpacked
	CacheTo    string // reference where the cache is pushed; empty = nowhere
	CacheFrom  string // reference from which it is taken; empty = from nowhere
}

// Buildctl is the client of BuildKit. It reads config.json once, and fetches
// the bearer tokens with which buildkitd pulls and pushes.
type Buildctl struct {
	Files
	Daemon *Buildkit
	// Hosts makes it trust CA for the logins of these registries only, by
	// --registry-auth-tlscontext; else CA is the one authority for everything.
	Hosts []string
	// Path is searched for credential helpers first.
	Path string
	// CredentialsAge is how old an answer of a helper gets before it is asked
	// again; 0 = as buildctl has it, else a program that differs in this alone
	// stands in.
	CredentialsAge time.Duration
}

// Name implements Client.
func (c Buildctl) Name() string { return "buildkit" }

// Push implements Client: it builds an image that holds the archive.
func (c Buildctl) Push(ctx context.Context, archive, reference string) error {
	return c.in("FROM scratch\nCOPY image.tar /\n", func(folder string) error {
		content, err := os.ReadFile(archive)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, "image.tar"), content, 0o644); err != nil {
			return err
		}
		return c.run(ctx, c.environment(), "buildctl", c.arguments(folder, Build{Push: reference})...)
	})
}

// Pull implements Client: it unpacks an image, whose daemon is not shared.
func (c Buildctl) Pull(ctx context.Context, reference string) error {
	if err := c.run(ctx, nil, "buildctl", "--addr="+c.Daemon.address(), "prune", "--all"); err != nil {
		return err
	}
	return c.in("FROM "+reference+"\n", func(folder string) error {
		return c.run(ctx, c.environment(), "buildctl", c.arguments(folder, Build{})...)
	})
}

// Run builds.
func (c Buildctl) Run(ctx context.Context, b Build) error {
	return c.in(b.Dockerfile, func(folder string) error {
		if c.CredentialsAge > 0 {
			return c.run(ctx, c.environment(), "buildctl-hasty", "--addr="+c.Daemon.address(), "--context="+folder, "--push="+b.Push,
				"--cgroup-parent="+c.Daemon.cgroup, "--credentials-age="+c.CredentialsAge.String())
		}
		return c.run(ctx, c.environment(), "buildctl", c.arguments(folder, b)...)
	})
}

// in calls build with a folder that holds the Dockerfile.
func (c Buildctl) in(dockerfile string, build func(folder string) error) error {
	folder, err := c.folder("context-")
	if err != nil {
		return err
	}
	defer removeAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		return err
	}
	return build(folder)
}

func (c Buildctl) environment() []string {
	environment := []string{"DOCKER_CONFIG=" + c.DockerConfig}
	if len(c.Hosts) == 0 && c.CA != "" {
		environment = append(environment, "SSL_CERT_FILE="+c.CA)
	}
	if c.Path != "" {
		environment = append(environment, "PATH="+c.Path+":"+os.Getenv("PATH"))
	}
	return environment
}

func (c Buildctl) arguments(folder string, b Build) []string {
	arguments := []string{
		"--addr=" + c.Daemon.address(), "build", "--progress=plain", "--frontend=dockerfile.v0", "--opt=cgroup-parent=" + c.Daemon.cgroup,
		"--local=context=" + folder, "--local=dockerfile=" + folder,
	}
	if b.Push == "" {
		arguments = append(arguments, "--output=type=tar,dest="+filepath.Join(folder, "result.tar"))
	} else {
		arguments = append(arguments, "--output=type=image,push=true,name="+b.Push)
	}
	for _, host := range c.Hosts {
		arguments = append(arguments, "--registry-auth-tlscontext=host="+host+",ca="+c.CA)
	}
	if b.CacheTo != "" {
		arguments = append(arguments, "--export-cache=type=registry,mode=max,ref="+b.CacheTo)
	}
	if b.CacheFrom != "" {
		arguments = append(arguments, "--import-cache=type=registry,ref="+b.CacheFrom)
	}
	return arguments
}
