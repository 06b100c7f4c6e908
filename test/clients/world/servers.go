package world

import (
	"context"
	"os"

	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
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

// StartIntranet starts a registry with the world's token server at an address
// inside of the company, under another name than the registry's.
func (w *World) StartIntranet(ctx context.Context) error {
	host, err := w.serveTokens(w.Tokens, intranetAuth, sandbox.PrivateAddress, "0")
	if err != nil {
		return err
	}
	w.Intranet, err = w.startRegistry(ctx, intranetName, registry.Config{Realm: "https://" + host + "/token", Tokens: w.Tokens})
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
