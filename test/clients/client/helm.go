package client

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Helm pushes and pulls charts: what an image's repository, tag and content
// are, a chart carries as its name, version and description.
type Helm struct{ Files }

// Name implements Client.
func (h Helm) Name() string { return "helm" }

// Push implements Client. The archive gives the chart its content.
func (h Helm) Push(ctx context.Context, archive, reference string) error {
	image, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	return h.pulled(func(dir string) error {
		repository, version := chart(reference)
		folder := filepath.Join(dir, path.Base(repository))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		about := fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\ndescription: %s\n", path.Base(repository), version, digest(image))
		if err := os.WriteFile(filepath.Join(folder, "Chart.yaml"), []byte(about), 0o644); err != nil {
			return err
		}
		if err := h.helm(ctx, "package", folder, "--destination", filepath.Dir(dir)); err != nil {
			return err
		}
		return h.helm(ctx, "push", filepath.Join(filepath.Dir(dir), path.Base(repository)+"-"+version+".tgz"), "oci://"+path.Dir(repository))
	})
}

// Pull implements Client.
func (h Helm) Pull(ctx context.Context, reference string) error {
	repository, version := chart(reference)
	return h.pulled(func(dir string) error {
		return h.helm(ctx, "pull", "oci://"+repository, "--version", version, "--destination", filepath.Dir(dir))
	})
}

// chart makes host/repository:tag a chart's address and version.
func chart(reference string) (repository, version string) {
	colon := strings.LastIndex(reference, ":")
	return reference[:colon], "0.1.0-" + reference[colon+1:]
}

func (h Helm) helm(ctx context.Context, arguments ...string) error {
	return h.run(ctx, []string{"DOCKER_CONFIG=" + h.DockerConfig, "SSL_CERT_FILE=" + h.CA}, "helm", arguments...)
}
