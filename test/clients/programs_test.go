package clients

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
)

// program is a client that the tests run, and what it cannot do.
type program struct {
	name string
	// origin says which program it is and where it comes from.
	origin string
	make   func(client.Files, *client.Daemon) client.Client
	// daemon: it needs a dockerd, and so the machine's root.
	daemon bool
	// noRegistryToken says why a bearer token does not log it in.
	noRegistryToken string
	// authFile: it reads the auth.json of containers-auth.
	authFile bool
	// noPrivateTokens says why it does not log in at a token server of another
	// name at a private address.
	noPrivateTokens string
}

func programs() []program {
	const image = "containers/image, the library of these three, reads no `registrytoken`"
	return []program{
		{
			name: "docker", origin: "docker CLI with Debian's dockerd", daemon: true,
			make: func(f client.Files, d *client.Daemon) client.Client { return client.NewDocker(f, d) },
		},
		{
			name: "crane", origin: "module, pinned in `test/clients/go.mod`",
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.Crane{Files: f} },
		},
		{
			name: "skopeo", origin: "Debian's package", noRegistryToken: image, authFile: true,
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.Skopeo{Files: f} },
		},
		{
			name: "podman", origin: "Debian's package, without a service", noRegistryToken: image, authFile: true,
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.NewPodman(f) },
		},
		{
			name: "buildah", origin: "Debian's package", noRegistryToken: image, authFile: true,
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.NewBuildah(f) },
		},
		{
			name: "regctl", origin: "module, pinned in `test/clients/go.mod`", noRegistryToken: "regctl reads no `registrytoken`",
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.Regctl{Files: f} },
		},
		{
			name: "helm", origin: "helm 4, module, pinned in `test/clients/helm/go.mod`",
			make: func(f client.Files, _ *client.Daemon) client.Client { return client.Helm{Files: f} },
		},
		{
			name: "oras", origin: "oras-go, the library, in a program of the test's own: the command does not build as a module",
			noPrivateTokens: "oras-go follows a registry to a token server of another name only at a public address",
			make:            func(f client.Files, _ *client.Daemon) client.Client { return client.ORAS{Files: f} },
		},
	}
}

// with is the program with the files of a volume.
func (p program) with(t *testing.T, files client.Files, daemon *client.Daemon) client.Client {
	t.Helper()
	if p.daemon && daemon == nil {
		t.Skip("dockerd needs the machine's root")
	}
	return p.make(files, daemon)
}
