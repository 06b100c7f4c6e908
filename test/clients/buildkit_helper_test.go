package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// A password ends three times while builds run. Who reads config.json has the
// first one until its end; a helper is asked again, but not before its answer
// has the age that BuildKit fixes.
func TestBuildkitHelper(t *testing.T) {
	t.Parallel()
	const age = 2 * time.Second
	w := newBuildNode(t, 5*time.Second, connectors{"logins": `issuer: {secret: {name: deploy}}`})
	plain := aVolume("plain", "logins")
	publish(t, w, plain)
	helped := newHelped(t, w, "helped")
	hasty := helped.client()
	hasty.CredentialsAge = age
	daemon := newBuilder(t, w, "/run/helped/etc")
	builds := []struct {
		tag    string
		client client.Buildctl
		pushes bool
		step   *step
		done   <-chan error
	}{
		{tag: "read-once", client: client.Buildctl{Files: filesOf(w, plain), CredentialsAge: age}},
		{tag: "asked-once", client: helped.client()},
		{tag: "asked-again", client: hasty, pushes: true},
	}
	for i := range builds {
		b := &builds[i]
		b.client.Daemon, b.step = daemon.Buildkit, newStep(t)
		b.done = inBackground(t, b.client, build(w, b.tag, "RUN hold "+b.step.address))
		b.step.runs(t, b.done)
	}
	old := time.NewTimer(age)
	defer old.Stop()
	for i := range 3 {
		next := fmt.Sprint(canary, "rotation-", i)
		w.Tokens.SetPassword(user, next)
		write(t, w, "deploy", world.Login(namespace, "deploy", user, next))
		helped.await(t, next)
		awaitEntry(t, w, plain, within, isLogin(user, next))
	}
	<-old.C // the answers, given before it was set
	for _, b := range builds {
		b.step.end()
		ends(t, w, b.tag, <-b.done, b.pushes)
	}

	write(t, w, "logins", w.Connector(namespace, "logins", "access: [{serviceAccounts: [another]}]\nissuer: {secret: {name: deploy}}"))
	helped.await(t, "") // the volume is emptied
	want := "error: failed to solve: failed to fetch anonymous token: unexpected status from GET request to https://" + w.TokensHost() +
		"/token?scope=repository%3Ateam%2Fbase%3Apull&service=registry.test: 401 Unauthorized"
	asker := helped.client()
	asker.Daemon = daemon.Buildkit
	if got := complaint(t, asker.Run(t.Context(), build(w, "emptied"))); got != want {
		t.Errorf("with an emptied volume buildctl ends with\n\t%s\nwant\n\t%s", got, want)
	}
	daemon.end(t)
	unpublish(t, w, plain)
	unpublish(t, w, helped.v)
	nothingLeft(t, w)
}

// ends: the build has pushed its result, or was refused because its password
// is over.
func ends(t *testing.T, w *world.World, tag string, err error, pushes bool) {
	t.Helper()
	if pushes {
		must(t, err)
	} else if got := complaint(t, err); got != "error: failed to solve: failed to fetch oauth token: unauthorized" {
		t.Errorf("build %s ends with %s", tag, got)
	}
	if got := pushed(w, tag); got != pushes {
		t.Errorf("%s was pushed: %t", tag, got)
	}
}

// helped is a volume whose clients ask a credential helper.
type helped struct {
	w *world.World
	v kubelet.Volume
}

// newHelped publishes it, with the login of the Connector logins.
func newHelped(t *testing.T, w *world.World, pod string) *helped {
	t.Helper()
	h := &helped{w: w, v: aVolume(pod, "logins")}
	h.v.Attributes["configuration.names"] = "docker-helper"
	publish(t, w, h.v)
	return h
}

func (h *helped) programs() string { return filepath.Join(h.w.Kubelet.Target(h.v), "bin") }

func (h *helped) client() client.Buildctl {
	return client.Buildctl{Files: filesOf(h.w, h.v), Path: h.programs()}
}

// await waits until the helper answers with a password; empty = it has none.
func (h *helped) await(t *testing.T, password string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	must(t, child.Until(ctx, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, filepath.Join(h.programs(), "docker-credential-regcred"), "get")
		cmd.Stdin = strings.NewReader(h.w.Registry.Host())
		cmd.Env = []string{} // it needs no variable
		output, err := cmd.Output()
		if string(output) == "credentials not found in native keychain\n" {
			output, err = []byte("{}"), nil
		}
		if err != nil {
			return err
		}
		var answer struct{ Secret string }
		if err := json.Unmarshal(output, &answer); err != nil {
			return err
		}
		if answer.Secret != password {
			return errors.New("the helper does not give what was awaited")
		}
		return nil
	}))
}
