package clients

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// A second login of the same team, so that the first one can stay valid while
// pods move to the second.
const (
	secondUser     = "robot-2"
	secondPassword = canary + "of-robot-2"
)

// A login that ends only after its successor was handed out disturbs no build:
// base image pulled, result and cache pushed, before, during and after.
func TestBuildkitLogin(t *testing.T) {
	t.Parallel()
	w := newBuildNode(t, time.Minute, connectors{"logins": `issuer: {secret: {name: deploy}}`})
	v := aVolume("client", "logins")
	publish(t, w, v)
	one := newBuilder(t, w, "")
	step := newStep(t)
	c := client.Buildctl{Files: filesOf(w, v), Daemon: one.Buildkit}
	trusting := c // by an option instead of the environment
	trusting.Hosts = []string{w.Registry.Host()}

	cache := w.Image("team/app", "cache")
	slow := build(w, "before", "RUN hold "+step.address)
	slow.CacheTo = cache
	done := inBackground(t, c, slow)
	step.runs(t, done)
	step.end()
	must(t, <-done)
	must(t, trusting.Run(t.Context(), build(w, "trusting")))

	done = inBackground(t, c, build(w, "during", "RUN hold "+step.address))
	step.runs(t, done)
	write(t, w, "deploy", world.Login(namespace, "deploy", secondUser, secondPassword))
	awaitEntry(t, w, v, within, isLogin(secondUser, secondPassword))
	step.end()
	must(t, <-done) // pushed with the login that was read at the start

	w.Tokens.SetPassword(user, changed) // the overlap is over
	must(t, c.Run(t.Context(), build(w, "after")))
	one.end(t)

	other := newBuilder(t, w, "/run/other/etc") // with nothing in its cache
	c.Daemon = other.Buildkit
	step.close() // the step would fail if it was run again
	slow = build(w, "before", "RUN hold "+step.address)
	slow.Push, slow.CacheFrom = w.Image("team/app", "cached"), cache
	must(t, c.Run(t.Context(), slow))
	for _, tag := range []string{"before", "trusting", "during", "after"} {
		must(t, c.Run(t.Context(), client.Build{
			Dockerfile: fmt.Sprintf("FROM %s\nRUN read tag </built && [ $tag = %s ]\n", w.Image("team/app", tag), tag),
			Push:       w.Image("team/app", "checked-"+tag),
		}))
	}
	other.end(t)
	for _, tag := range []string{"before", "cache", "trusting", "during", "after", "cached", "checked-after"} {
		if !pushed(w, tag) {
			t.Errorf("the access log shows no push of %s", tag)
		}
	}
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// newBuildNode is a node with a base image in team/base.
func newBuildNode(t *testing.T, life time.Duration, known connectors) *world.World {
	t.Helper()
	if !sandbox.Privileged() {
		t.Skip("buildkitd and runc need the machine's root")
	}
	known["builders"] = `issuer: {anonymous: {}}`
	w := newNode(t, life, known)
	w.Tokens.SetPassword(secondUser, secondPassword)
	w.Tokens.Grant(secondUser, "team/app", "pull", "push")
	w.Tokens.Grant(secondUser, "team/base", "pull")
	pushBase(t, w, "team/base", "1")
	return w
}

// pushBase pushes the base image as somebody else than the team.
func pushBase(t *testing.T, w *world.World, repository, tag string) {
	t.Helper()
	w.Tokens.SetPassword("owner", canary+"owner")
	w.Tokens.Grant("owner", repository, "pull", "push")
	archive := filepath.Join(t.TempDir(), "base.tar")
	must(t, client.WriteBase(archive))
	owner := client.Crane{Files: client.Files{DockerConfig: handWritten(t, w, map[string]string{
		"username": "owner", "password": canary + "owner",
	}), CA: w.CAFile()}}
	must(t, owner.Push(t.Context(), archive, w.Image(repository, tag)))
}

// builder is a container with a buildkitd, which gets nothing but a volume.
type builder struct {
	*client.Buildkit
	end func(t *testing.T)
}

// newBuilder mounts a volume with buildkitd.toml at a path, which the volume
// is told unless it is empty for the default; only one at a time can be there.
// The volume's Connector has no login: that is the client's.
func newBuilder(t *testing.T, w *world.World, path string) *builder {
	t.Helper()
	v := aVolume("builder", "builders")
	v.Attributes["configuration.names"] = "buildkitd"
	if path == "" {
		path = "/etc/buildkit"
	} else {
		v.Attributes["mount.path"] = path
	}
	return startBuilder(t, w, v, path)
}

func startBuilder(t *testing.T, w *world.World, v kubelet.Volume, path string) *builder {
	t.Helper()
	publish(t, w, v)
	must(t, os.MkdirAll(path, 0o755))
	must(t, unix.Mount(w.Kubelet.Target(v), path, "", unix.MS_BIND, ""))
	mounted := true
	unmount := func() error {
		mounted = false
		return unix.Unmount(path, 0)
	}
	t.Cleanup(func() {
		if mounted {
			must(t, unmount())
		}
	})
	daemon := runBuildkit(t, client.BuildkitOptions{
		Config: filepath.Join(path, "buildkitd.toml"),
		// A part of what the cache goes by, so it is the same for both builders of a world.
		Cgroup: sandbox.Cgroup() + "/" + filepath.Base(filepath.Dir(w.KubeletDir())),
	})
	b := &builder{Buildkit: daemon}
	running := true
	b.end = func(t *testing.T) {
		t.Helper()
		running = false
		if err := daemon.Close(); err != nil {
			t.Error(err)
		}
		must(t, unmount())
		unpublish(t, w, v)
	}
	t.Cleanup(func() {
		if running {
			t.Logf("buildkitd's log:\n%s", daemon.Log())
			b.end(t)
		}
	})
	return b
}

// runBuildkit starts a buildkitd, which the caller ends.
func runBuildkit(t *testing.T, o client.BuildkitOptions) *client.Buildkit {
	t.Helper()
	dir, err := os.MkdirTemp("", "b-") //nolint:usetesting // t.TempDir is too long for sockets
	must(t, err)
	must(t, os.Chmod(dir, 0o755)) // clients of other users reach the socket
	if o.Cgroup == "" {
		o.Cgroup = sandbox.Cgroup() + "/" + filepath.Base(dir)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	daemon, err := client.StartBuildkit(ctx, dir, o)
	must(t, err)
	return daemon
}

// build is a build on the base image that notes the tag of its result.
func build(w *world.World, tag string, steps ...string) client.Build {
	lines := append([]string{"FROM " + w.Image("team/base", "1"), "RUN echo " + tag + " >/built"}, steps...)
	return client.Build{Dockerfile: strings.Join(lines, "\n") + "\n", Push: w.Image("team/app", tag)}
}

// inBackground runs a build until its result is read.
func inBackground(t *testing.T, c client.Buildctl, b client.Build) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- c.Run(ctx, b)
	}()
	t.Cleanup(func() {
		cancel()
		for range done { // until it has ended
		}
	})
	return done
}

// pushed reports whether a tag arrived in team/app.
func pushed(w *world.World, tag string) bool {
	return slices.ContainsFunc(w.Registry.Accesses(), func(a registry.Access) bool {
		return a.Method == http.MethodPut && a.Status == http.StatusCreated && a.Path == "/v2/team/app/manifests/"+tag
	})
}

// step is where the RUN step `hold` calls: it runs until the test ends it.
type step struct {
	address  string
	listener net.Listener
	conn     net.Conn
}

func newStep(t *testing.T) *step {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(sandbox.PrivateAddress, "0"))
	must(t, err)
	s := &step{address: listener.Addr().String(), listener: listener}
	t.Cleanup(func() {
		s.close()
		if s.conn != nil {
			s.end()
		}
	})
	return s
}

// runs waits until the step of a build runs.
func (s *step) runs(t *testing.T, build <-chan error) {
	t.Helper()
	called := make(chan error, 1)
	go func() {
		var err error
		s.conn, err = s.listener.Accept()
		called <- err
	}()
	select {
	case err := <-called:
		must(t, err)
	case err := <-build:
		t.Fatalf("the build ended before its step: %v", err)
	}
}

// end lets the step end.
func (s *step) end() { _ = s.conn.Close() }

// close makes further steps fail.
func (s *step) close() { _ = s.listener.Close() }
