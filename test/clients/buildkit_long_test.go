package clients

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// TestBuildkitLong is TestBuildkitHelper at BuildKit's own pace: buildctl asks
// a helper again when its answer is 4 min 50 s old. The password ends every
// six minutes, and the build goes on for three of them.
func TestBuildkitLong(t *testing.T) {
	if os.Getenv("REGCRED_LONG") == "" {
		t.Skip("a build of 18 minutes belongs to make test-all: REGCRED_LONG=1")
	}
	t.Parallel()
	const life, lives = 6 * time.Minute, 3
	w := newBuildNode(t, time.Minute, connectors{"logins": `issuer: {secret: {name: deploy}}`})
	plain := aVolume("plain", "logins")
	publish(t, w, plain)
	helped := newHelped(t, w, "helped")
	daemon := newBuilder(t, w, "/run/long/etc")
	reader, asker := client.Buildctl{Files: filesOf(w, plain), Daemon: daemon.Buildkit}, helped.client()
	asker.Daemon = daemon.Buildkit

	readerStep, askerStep := newStep(t), newStep(t)
	reading := inBackground(t, reader, build(w, "long-read", "RUN hold "+readerStep.address))
	asking := inBackground(t, asker, build(w, "long-asked", "RUN hold "+askerStep.address))
	readerStep.runs(t, reading)
	askerStep.runs(t, asking)
	over := time.NewTicker(life)
	defer over.Stop()
	for i := range lives {
		select {
		case <-over.C:
		case err := <-reading:
			t.Fatalf("a build ended before its step: %v", err)
		case err := <-asking:
			t.Fatalf("a build ended before its step: %v", err)
		}
		next := fmt.Sprint(canary, "life-", i)
		w.Tokens.SetPassword(user, next)
		write(t, w, "deploy", world.Login(namespace, "deploy", user, next))
		helped.await(t, next)
		awaitEntry(t, w, plain, within, isLogin(user, next))
	}
	readerStep.end()
	askerStep.end()
	ends(t, w, "long-read", <-reading, false)
	ends(t, w, "long-asked", <-asking, true)
	daemon.end(t)
	unpublish(t, w, plain)
	unpublish(t, w, helped.v)
	nothingLeft(t, w)
}
