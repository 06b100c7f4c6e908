package clients

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// placeholder is the registry of the pages; they are read with the world's.
const placeholder = "registry.example.com"

// pagePatience bounds one block of a page.
const pagePatience = 2 * time.Minute

// Every page on a client does what it tells: its pod's volume is published,
// and each of its blocks of shell runs as in that pod's container.
func TestPages(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../docs/clients/*.md")
	must(t, err)
	for _, p := range programs() {
		if _, err := os.Stat("../../docs/clients/" + p.name + ".md"); err != nil {
			t.Errorf("%s has no page: %v", p.name, err)
		}
	}
	w := newNode(t, matrixLife, connectors{
		"registry":       longLogin,
		"registry-token": strings.Replace(shortToken, "[team/app]", "[team/app, team/base]", 1),
	})
	daemon := newDaemon(t, "SSL_CERT_FILE="+w.CAFile())
	if daemon != nil {
		must(t, os.Symlink(daemon.Socket(), "/run/docker.sock")) // where the CLI looks for it
	}
	seedBase(t, w)
	t.Run("of", func(t *testing.T) {
		for _, path := range paths {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".md"), func(t *testing.T) {
				t.Parallel()
				text, err := os.ReadFile(path)
				must(t, err)
				page, err := readPage(strings.ReplaceAll(string(text), placeholder, w.Registry.Host()))
				must(t, err)
				if daemon == nil && (page.mentions("docker ") || page.mentions("buildctl")) {
					t.Skip("dockerd and buildkitd need the machine's root")
				}
				page.run(t, w)
			})
		}
	})
}

// seedBase pushes the base image that the pages speak of.
func seedBase(t *testing.T, w *world.World) {
	t.Helper()
	w.Tokens.Grant(user, "team/base", "pull", "push")
	files := client.Files{DockerConfig: handWritten(t, w, map[string]string{"username": user, "password": password}), CA: w.CAFile()}
	must(t, client.Crane{Files: files}.Push(t.Context(), newArchive(t), w.Image("team/base", "1")))
}

// run publishes the page's volumes and runs its blocks in order, in one
// folder, each in a mount namespace of its own.
func (p clientPage) run(t *testing.T, w *world.World) {
	t.Helper()
	mounts := map[string]string{}
	for at, attributes := range p.mounts {
		must(t, makeOwnFolder(at))
		v := kubelet.Volume{
			Namespace: namespace, Pod: filepath.Base(t.Name()), ServiceAccount: p.serviceAccount, FSGroup: p.fsGroup,
			Name: strings.ReplaceAll(strings.Trim(at, "/"), "/", "-"), Attributes: attributes,
		}
		publish(t, w, v)
		mounts[at] = w.Kubelet.Target(v)
	}
	home := t.TempDir()
	for _, block := range p.blocks {
		ctx, cancel := context.WithTimeout(t.Context(), pagePatience)
		cmd := client.WithMounts(ctx, mounts, "sh", "-euxc", block)
		cmd.Dir = home
		// vfs is a driver of images that works wherever files can be written.
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "STORAGE_DRIVER=vfs"}, p.environment...)
		said, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
}
