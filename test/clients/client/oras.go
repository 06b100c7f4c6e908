package client

import "context"

// ORAS is oras-go, the library, behind a small program: the oras command does
// not build as a module.
type ORAS struct{ Files }

// Name implements Client.
func (o ORAS) Name() string { return "oras" }

// Push implements Client.
func (o ORAS) Push(ctx context.Context, archive, reference string) error {
	return o.oras(ctx, "push", reference, archive)
}

// Pull implements Client.
func (o ORAS) Pull(ctx context.Context, reference string) error {
	return o.pulled(func(dir string) error { return o.oras(ctx, "pull", "--output", dir, reference) })
}

func (o ORAS) oras(ctx context.Context, arguments ...string) error {
	return o.run(ctx, []string{"DOCKER_CONFIG=" + o.DockerConfig, "SSL_CERT_FILE=" + o.CA}, "oras", arguments...)
}
