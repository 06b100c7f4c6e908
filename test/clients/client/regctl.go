package client

import "context"

// Regctl is regclient's command. It knows no registrytoken.
type Regctl struct{ Files }

// Name implements Client.
func (r Regctl) Name() string { return "regctl" }

// Push implements Client.
func (r Regctl) Push(ctx context.Context, archive, reference string) error {
	return r.regctl(ctx, "image", "import", reference, archive)
}

// Pull implements Client.
func (r Regctl) Pull(ctx context.Context, reference string) error {
	return r.pulled(func(dir string) error { return r.regctl(ctx, "image", "copy", reference, "ocidir://"+dir) })
}

func (r Regctl) regctl(ctx context.Context, arguments ...string) error {
	return r.run(ctx, []string{"DOCKER_CONFIG=" + r.DockerConfig, "SSL_CERT_FILE=" + r.CA}, "regctl", arguments...)
}
