package clients

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/tools"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

func TestMain(m *testing.M) {
	os.Exit(sandbox.Run(world.Hosts(), tools.Prepare, m.Run))
}

// patience bounds what no test waits for on purpose.
const patience = 30 * time.Second

func newWorld(t *testing.T, life time.Duration) *world.World {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := world.New(ctx, life)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// newDaemon starts a dockerd. Without the machine's root it is nil, and tests
// that need it skip themselves.
func newDaemon(t *testing.T, environment ...string) *client.Daemon {
	t.Helper()
	if !sandbox.Privileged() {
		return nil
	}
	dir, err := os.MkdirTemp("", "d-") //nolint:usetesting // t.TempDir is too long for dockerd's sockets
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	daemon, err := client.StartDaemon(ctx, dir, environment...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := daemon.Close(); err != nil {
			t.Error(err)
		}
	})
	return daemon
}

// newArchive writes an image that no other test has.
func newArchive(t *testing.T) string {
	t.Helper()
	path := filepath.Join(openFolder(t), "image.tar")
	if err := client.WriteArchive(path, t.Name()); err != nil {
		t.Fatal(err)
	}
	return path
}
