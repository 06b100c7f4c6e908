package world

import (
	"context"
	"os"

	"github.com/regcred/csi-driver-regcred/test/clients/registry"
)

// StartPasswords starts a registry whose users log in with HTTP's Basic
// authentication: user → password.
func (w *World) StartPasswords(ctx context.Context, users map[string]string) (err error) {
	w.Passwords, err = w.startRegistry(ctx, passwordsName, registry.Config{Users: users})
	return err
}

// StartMirror starts a pull-through mirror of the world's registry, with a
// login of its own there; users are the mirror's.
func (w *World) StartMirror(ctx context.Context, user, password string, users map[string]string) (err error) {
	w.Mirror, err = w.startRegistry(ctx, mirrorName, registry.Config{Users: users, Upstream: &registry.Upstream{
		URL: "https://" + w.Registry.Host(), User: user, Password: password, CAFile: w.CAFile(),
	}})
	return err
}

// startRegistry starts a registry on a free port under a name.
func (w *World) startRegistry(ctx context.Context, name string, c registry.Config) (_ *registry.Server, err error) {
	if c.Host, err = freeHost(name); err != nil {
		return nil, err
	}
	c.Dir, c.Authority = w.at(name), w.authority
	if err := os.Mkdir(c.Dir, 0o755); err != nil {
		return nil, err
	}
	return registry.Start(ctx, c)
}
