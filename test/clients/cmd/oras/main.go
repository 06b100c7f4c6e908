// Command oras pushes a file to a registry and pulls it again by oras-go, the
// library of the oras command, which does not build as a module; what it knows
// is written as that command has it. It logs in by the config.json that
// DOCKER_CONFIG names, through the library's own store.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	oras "oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/file"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/retry"
)

const usage = "usage: oras push HOST/REPOSITORY:TAG FILE | oras pull --output DIRECTORY HOST/REPOSITORY:TAG"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oras:", err)
		os.Exit(1) //nolint:gocritic // stop only unregisters signals
	}
}

func run(ctx context.Context, arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == "push":
		return push(ctx, arguments[1], arguments[2])
	case len(arguments) == 4 && arguments[0] == "pull" && arguments[1] == "--output":
		return pull(ctx, arguments[3], arguments[2])
	default:
		return errors.New(usage)
	}
}

func pull(ctx context.Context, reference, directory string) (err error) {
	from, err := repository(reference)
	if err != nil {
		return err
	}
	local, err := file.New(directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	tag := from.Reference.Reference
	_, err = oras.Copy(ctx, from, tag, local, tag, oras.DefaultCopyOptions)
	return err
}

func push(ctx context.Context, reference, path string) (err error) {
	to, err := repository(reference)
	if err != nil {
		return err
	}
	local, err := file.New(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	layer, err := local.Add(ctx, filepath.Base(path), "application/octet-stream", "")
	if err != nil {
		return err
	}
	manifest, err := oras.PackManifest(ctx, local, oras.PackManifestVersion1_1, "application/vnd.example.file",
		oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		return err
	}
	tag := to.Reference.Reference
	if err := local.Tag(ctx, manifest, tag); err != nil {
		return err
	}
	_, err = oras.Copy(ctx, local, tag, to, tag, oras.DefaultCopyOptions)
	return err
}

// repository is one whose requests carry the login of config.json.
func repository(reference string) (*remote.Repository, error) {
	repository, err := remote.NewRepository(reference)
	if err != nil {
		return nil, err
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the docker configuration: %w", err)
	}
	repository.Client = &auth.Client{Client: retry.DefaultClient, Cache: auth.NewCache(), Credential: credentials.Credential(store)}
	return repository, nil
}
