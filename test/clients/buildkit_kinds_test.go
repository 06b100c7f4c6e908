package clients

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// Every kind of login with which a build can pull and push, one buildkitd for
// all of them, and a client that is not root.
func TestBuildkitKinds(t *testing.T) {
	t.Parallel()
	const keeper, fsGroup = "keeper", 2000
	w := newBuildNode(t, time.Minute, connectors{
		"basic":    longLogin,
		"identity": "allowLongLived: true\nissuer: {distributionToken: {secretRef: {name: login}, output: identityToken}}",
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.StartPasswords(ctx, map[string]string{keeper: password}))
	write(t, w, "keeper-login", world.Login(namespace, "keeper-login", keeper, password))
	write(t, w, "passwords", world.ConnectorFor(w.Passwords.Host(), namespace, "passwords", "issuer: {secret: {name: keeper-login}}"))

	registries := aVolume("builder", "builders,passwords")
	registries.Attributes["configuration.names"], registries.Attributes["mount.path"] = "buildkitd", "/run/kinds/etc"
	publishSoon(t, w, registries)
	daemon := startBuilder(t, w, registries, "/run/kinds/etc", fmt.Sprint("--group=", fsGroup))
	for name, tt := range map[string]struct {
		connectors string
		user       *client.User
		registry   string // that is pushed to
	}{
		"user and password":      {connectors: "basic", registry: w.Registry.Host()},
		"identity token":         {connectors: "identity", registry: w.Registry.Host()},
		"registry with htpasswd": {connectors: "basic,passwords", registry: w.Passwords.Host()},
		"as another user":        {connectors: "basic", user: &client.User{UID: 1000, FSGroup: fsGroup}, registry: w.Registry.Host()},
	} {
		t.Run(name, func(t *testing.T) {
			v := aVolume(filepath.Base(t.Name()), tt.connectors)
			if tt.user != nil {
				v.FSGroup = fmt.Sprint(fsGroup)
			}
			publish(t, w, v)
			c := client.Buildctl{Files: filesOf(w, v), Daemon: daemon.Buildkit}
			if c.User = tt.user; c.User != nil {
				c.DockerConfig = mounted(t, w.Kubelet.Target(v))
				c.CA = filepath.Join(c.DockerConfig, "ca.crt")
			}
			b := build(w, "result")
			b.Push = tt.registry + "/team/app:" + filepath.Base(v.Pod)
			must(t, c.Run(t.Context(), b))
			unpublish(t, w, v)
		})
	}
	daemon.end(t)
}
