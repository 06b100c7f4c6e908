package client

import "context"

// Crane is Google's crane. It reads config.json anew at every start.
type Crane struct{ Files }

// Name implements Client.
func (c Crane) Name() string { return "crane" }

// Push implements Client.
func (c Crane) Push(ctx context.Context, archive, reference string) error {
	return c.run(ctx, "push", archive, reference)
}

// Pull implements Client.
func (c Crane) Pull(ctx context.Context, reference string) error {
	return c.pulled(func(dir string) error { return c.run(ctx, "pull", reference, dir) })
}

func (c Crane) run(ctx context.Context, arguments ...string) error {
	return c.Files.run(ctx, []string{"DOCKER_CONFIG=" + c.DockerConfig, "SSL_CERT_FILE=" + c.CA}, "crane", arguments...)
}
