// Command oras pushes a file to a registry and pulls it again by oras-go, the
// library of the oras command, which does not build as a module. It logs in by
// the config.json that DOCKER_CONFIG names, through the library's own store.
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

const usage = "usage: oras push HOST/REPOSITORY:TAG FILE | oras pull HOST/REPOSITORY:TAG DIRECTORY"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oras:", err)
		os.Exit(1) //nolint:gocritic // stop only unregisters signals
	}
}

func run(ctx context.Context, arguments []string) (err error) {
	if len(arguments) != 3 {
		return errors.New(usage)
	}
	verb, reference, path := arguments[0], arguments[1], arguments[2]
	repository, err := logged(reference)
	if err != nil {
		return err
	}
	folder := path
	if verb == "push" {
		folder = filepath.Dir(path)
	}
	local, err := file.New(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, local.Close()) }()
	tag := repository.Reference.Reference
	switch verb {
	case "push":
		return push(ctx, local, filepath.Base(path), repository, tag)
	case "pull":
		_, err = oras.Copy(ctx, repository, tag, local, tag, oras.DefaultCopyOptions)
		return err
	default:
		return errors.New(usage)
	}
}

// logged is a repository whose requests carry the login of config.json.
func logged(reference string) (*remote.Repository, error) {
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

func push(ctx context.Context, local *file.Store, name string, to *remote.Repository, tag string) error {
	layer, err := local.Add(ctx, name, "application/octet-stream", "")
	if err != nil {
		return err
	}
	manifest, err := oras.PackManifest(ctx, local, oras.PackManifestVersion1_1, "application/vnd.example.file",
		oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		return err
	}
	if err := local.Tag(ctx, manifest, tag); err != nil {
		return err
	}
	_, err = oras.Copy(ctx, local, tag, to, tag, oras.DefaultCopyOptions)
	return err
}
