package client

import "context"

// Skopeo cannot read a registrytoken: it needs a user and a password.
type Skopeo struct{ Files }

// Name implements Client.
func (s Skopeo) Name() string { return "skopeo" }

// Push implements Client.
func (s Skopeo) Push(ctx context.Context, archive, reference string) error {
	return s.copy(ctx, "docker-archive:"+archive, "docker://"+reference)
}

// Pull implements Client.
func (s Skopeo) Pull(ctx context.Context, reference string) error {
	return s.pulled(func(dir string) error { return s.copy(ctx, "docker://"+reference, "dir:"+dir) })
}

func (s Skopeo) copy(ctx context.Context, from, to string) error {
	environment := []string{s.authFile(), "SSL_CERT_FILE=" + s.CA}
	return s.run(ctx, environment, "skopeo", "copy", from, to)
}
