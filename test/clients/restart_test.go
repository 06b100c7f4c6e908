package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// The driver is killed under live volumes: they stay readable and in place,
// nothing is issued again, and what changed meanwhile arrives afterwards.
func TestKilledDriver(t *testing.T) {
	t.Parallel()
	w := newNode(t, 10*time.Minute, connectors{"tokens": shortToken, "logins": `issuer: {secret: {name: deploy}}`})
	token, login := aVolume("pipeline", "tokens"), aVolume("deploy", "logins")
	publish(t, w, token)
	publish(t, w, login)
	issuedBefore := issued(w)
	mountsBefore, err := w.Mounts()
	must(t, err)
	filesBefore := visible(t, w.Kubelet.Target(token))

	stop := keepReading(t, filepath.Join(w.Kubelet.Target(token), "config.json"), filesBefore["config.json"])
	w.Driver.Kill()
	write(t, w, "deploy", world.Login(namespace, "deploy", user, changed))
	restart(t, w)
	publish(t, w, token) // the kubelet's republish
	awaitEntry(t, w, login, within, isLogin(user, changed))
	stop()

	mountsAfter, err := w.Mounts()
	must(t, err)
	if diff := cmp.Diff(mountsBefore, mountsAfter); diff != "" {
		t.Errorf("mounts (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(filesBefore, visible(t, w.Kubelet.Target(token))); diff != "" {
		t.Errorf("files of the untouched volume (-before +after):\n%s", diff)
	}
	if n := issued(w); n != issuedBefore {
		t.Errorf("%d tokens were issued again", n-issuedBefore)
	}
	unpublish(t, w, token)
	unpublish(t, w, login)
	nothingLeft(t, w)
}

// A token falls due while the driver is down: its successor comes right after
// the start, before the old one ends.
func TestRenewalAfterRestart(t *testing.T) {
	t.Parallel()
	const life = 8 * time.Second
	w := newNode(t, life, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	publish(t, w, v)
	first := w.Tokens.Issued()[0]
	w.Driver.Kill()
	due := time.NewTimer(time.Until(first.IssuedAt.Add(life * 3 / 4)))
	defer due.Stop()
	<-due.C
	restart(t, w)
	awaitEntry(t, w, v, time.Until(first.ExpiresAt), func(e entry) bool { return e.RegistryToken != first.Raw && e.RegistryToken != "" })
	unpublish(t, w, v)
}

func restart(t *testing.T, w *world.World) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, w.Driver.Start(ctx))
}

// keepReading reads a file as fast as it can until stop is called, and wants
// to find the same content every time.
func keepReading(t *testing.T, path, want string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for reads := 0; ctx.Err() == nil || reads == 0; reads++ {
			switch content, err := os.ReadFile(path); {
			case err != nil:
				done <- err
				return
			case string(content) != want:
				done <- fmt.Errorf("read %d finds other content, %d bytes instead of %d", reads, len(content), len(want))
				return
			}
		}
		done <- nil
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("reading all the time: %v", err)
		}
	}
}
