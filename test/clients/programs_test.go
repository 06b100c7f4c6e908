package clients

import (
	"fmt"
	"os"
	"testing"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
)

// program is a client that the tests run, and what it cannot do.
type program struct {
	name string
	// origin says which program it is and where it comes from.
	origin string
	make   func(client.Files, *client.Daemon) client.Client
	// start takes make's place where the program has a daemon of its own, which
	// ends with the test.
	start func(*testing.T, client.Files) client.Client
	// daemon: it needs a daemon, and so the machine's root.
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
		{
			name: "buildkit", origin: "buildctl and buildkitd, module, pinned in `test/clients/buildkit/go.mod`", daemon: true,
			start: startBuildctl,
		},
	}
}

// with is the program with the files of a volume.
func (p program) with(t *testing.T, files client.Files, daemon *client.Daemon) client.Client {
	t.Helper()
	if p.daemon && daemon == nil {
		t.Skip(p.name + " needs the machine's root")
	}
	if p.start != nil {
		return p.start(t, files)
	}
	return p.make(files, daemon)
}

// startBuildctl gives each test a buildkitd, because one that is shared shares
// what it has fetched.
func startBuildctl(t *testing.T, files client.Files) client.Client {
	t.Helper()
	o := client.BuildkitOptions{Config: os.DevNull, Environment: []string{"SSL_CERT_FILE=" + files.CA}}
	if files.User != nil {
		o.Flags = []string{fmt.Sprint("--group=", files.User.FSGroup)}
	}
	daemon := runBuildkit(t, o)
	t.Cleanup(func() { must(t, daemon.Close()) })
	return client.Buildctl{Files: files, Daemon: daemon}
}
