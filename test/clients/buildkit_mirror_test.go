package clients

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// Images of Docker Hub, which cannot be reached, come from a pull-through
// mirror: buildkitd knows it from buildkitd.toml, and buildctl has its login
// under the mirror's own host.
func TestBuildkitMirror(t *testing.T) {
	t.Parallel()
	const first, second = canary + "of-the-mirror", canary + "of-the-mirror-2"
	w := newBuildNode(t, time.Minute, connectors{"logins": `issuer: {secret: {name: deploy}}`})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.StartMirror(ctx, user, password, map[string]string{user: first, secondUser: second}))
	write(t, w, "mirror-login", world.Login(namespace, "mirror-login", user, first))
	write(t, w, "hub", world.ConnectorFor(w.Mirror.Host(), namespace, "hub",
		"- host: docker.io\n  mirrors: [{url: https://"+w.Mirror.Host()+"}]\nissuer: {secret: {name: mirror-login}}"))

	v := aVolume("client", "logins,hub")
	publishSoon(t, w, v)
	registries := aVolume("builder", "builders,hub")
	registries.Attributes["configuration.names"], registries.Attributes["mount.path"] = "buildkitd", "/run/mirror/etc"
	daemon := startBuilder(t, w, registries, "/run/mirror/etc")
	for name, content := range files(t, w.Kubelet.Target(registries)) {
		if strings.Contains(content, canary) {
			t.Errorf("buildkitd's %s holds a login", name)
		}
	}
	c := client.Buildctl{Files: filesOf(w, v), Daemon: daemon.Buildkit}
	must(t, c.Run(t.Context(), fromHub(w, "1", "before")))
	if !pulledFrom(w.Mirror, "1") {
		t.Error("the mirror's access log shows no pull of the first base image")
	}

	step := newStep(t)
	during := inBackground(t, c, fromHub(w, "1", "during", "RUN hold "+step.address))
	step.runs(t, during)
	write(t, w, "mirror-login", world.Login(namespace, "mirror-login", secondUser, second))
	awaitLogin(t, w, v, w.Mirror.Host(), secondUser, second)
	step.end()
	must(t, <-during)
	pushBase(t, w, "team/base", "2")
	must(t, c.Run(t.Context(), fromHub(w, "2", "after")))
	if !pulledFrom(w.Mirror, "2") {
		t.Error("the mirror's access log shows no pull of the second base image")
	}

	write(t, w, "mirror-login", world.Login(namespace, "mirror-login", user, canary+"wrong"))
	awaitLogin(t, w, v, w.Mirror.Host(), user, canary+"wrong")
	pushBase(t, w, "team/base", "3")
	want := "error: failed to solve: docker.io/team/base:3: failed to resolve source metadata for docker.io/team/base:3: " +
		"unexpected status from HEAD request to https://" + w.Mirror.Host() + "/v2/team/base/manifests/3?ns=docker.io: 401 Unauthorized"
	if got := complaint(t, c.Run(t.Context(), fromHub(w, "3", "refused"))); got != want {
		t.Errorf("with a wrong login for the mirror buildctl ends with\n\t%s\nwant\n\t%s", got, want)
	}
	daemon.end(t)
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// fromHub is a build on an image of Docker Hub.
func fromHub(w *world.World, base, tag string, steps ...string) client.Build {
	b := build(w, tag, steps...)
	b.Dockerfile = strings.Replace(b.Dockerfile, w.Image("team/base", "1"), "docker.io/team/base:"+base, 1)
	return b
}

func pulledFrom(mirror *registry.Server, tag string) bool {
	return slices.ContainsFunc(mirror.Accesses(), func(a registry.Access) bool {
		return a.Status == http.StatusOK && strings.HasPrefix(a.Path, "/v2/team/base/manifests/"+tag+"?ns=docker.io")
	})
}

// awaitLogin waits until config.json shows a login for a host.
func awaitLogin(t *testing.T, w *world.World, v kubelet.Volume, host, user, password string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	must(t, child.Until(ctx, func(context.Context) error {
		all, err := auths(w, v)
		if err == nil && !isLogin(user, password)(all[host]) {
			err = errors.New("config.json does not show the login")
		}
		return err
	}))
}
