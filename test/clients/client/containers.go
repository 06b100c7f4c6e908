package client

import (
	"context"
	"path/filepath"
)

// Containers is podman or buildah, which share their command line as far as
// it matters here. Each call has a store of its own.
type Containers struct {
	Files
	program string
	storage []string // options
}

// NewPodman is podman as it runs without a service.
func NewPodman(files Files) Containers {
	return Containers{Files: files, program: "podman", storage: []string{"--events-backend=none"}}
}

// NewBuildah is buildah.
func NewBuildah(files Files) Containers { return Containers{Files: files, program: "buildah"} }

// Name implements Client.
func (c Containers) Name() string { return c.program }

// Push implements Client.
func (c Containers) Push(ctx context.Context, archive, reference string) error {
	return c.stored(ctx, func(run func(verb string, arguments ...string) error) error {
		if err := run("pull", "docker-archive:"+archive); err != nil {
			return err
		}
		return run("push", ArchiveName, "docker://"+reference)
	})
}

// Pull implements Client.
func (c Containers) Pull(ctx context.Context, reference string) error {
	return c.stored(ctx, func(run func(verb string, arguments ...string) error) error {
		return run("pull", "docker://"+reference)
	})
}

// stored calls do with an empty store that is removed again. The vfs driver
// copies files, so it works wherever programs may write at all.
func (c Containers) stored(ctx context.Context, do func(run func(verb string, arguments ...string) error) error) error {
	dir, err := c.folder("store-")
	if err != nil {
		return err
	}
	defer removeAll(dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	environment := []string{
		c.authFile(), "SSL_CERT_FILE=" + c.CA,
		"XDG_RUNTIME_DIR=" + dir, // a store remembers this folder
	}
	if c.RegistriesConf != "" {
		environment = append(environment, "CONTAINERS_REGISTRIES_CONF="+c.RegistriesConf)
	}
	return do(func(verb string, arguments ...string) error {
		options := append([]string{"--storage-driver=vfs", "--root=" + at("root"), "--runroot=" + at("run")}, c.storage...)
		return c.run(ctx, environment, c.program, append(append(options, verb), arguments...)...)
	})
}
