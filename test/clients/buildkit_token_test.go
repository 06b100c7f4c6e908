package clients

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// Builds with bearer tokens of seconds: each build has the token that the
// volume shows when buildctl starts, and no password is anywhere. A build that
// goes on when its token is over cannot push any more.
func TestBuildkitTokens(t *testing.T) {
	t.Parallel()
	const life = 12 * time.Second
	w := newBuildNode(t, life, connectors{"tokens": buildTokens("pull, push")})
	w.Tokens.Grant(user, "team/base", "pull", "push")
	v := aVolume("client", "tokens")
	publish(t, w, v)
	daemon := newBuilder(t, w, "/run/tokens/etc")
	c := client.Buildctl{Files: filesOf(w, v), Daemon: daemon.Buildkit}

	first := tokenOf(t, w, v)
	must(t, c.Run(t.Context(), build(w, "first")))
	step := newStep(t)
	overtaken := inBackground(t, c, build(w, "overtaken", "RUN hold "+step.address))
	step.runs(t, overtaken)
	awaitEntry(t, w, v, life, func(e entry) bool { return e.RegistryToken != "" && e.RegistryToken != first.Raw })
	must(t, c.Run(t.Context(), build(w, "second")))

	ctx, cancel := context.WithDeadline(t.Context(), first.ExpiresAt.Add(registry.Leeway+patience))
	defer cancel()
	must(t, child.Until(ctx, func(ctx context.Context) error {
		if status := ask(t, w, "/v2/team/app/tags/list", first.Raw); status != http.StatusUnauthorized {
			return fmt.Errorf("the registry answers %d to the first token", status)
		}
		return nil
	}))
	must(t, c.Run(t.Context(), build(w, "third")))
	step.end()
	want := "^error: failed to solve: failed to push " + w.Image("team/app", "overtaken") + ": unexpected status from HEAD request to https://" +
		w.Registry.Host() + "/v2/team/app/blobs/sha256:[0-9a-f]{64}: 401 Unauthorized$"
	if got := complaint(t, <-overtaken); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("the overtaken build ends with\n\t%s\nwant\n\t%s", got, want)
	}
	for tag, want := range map[string]bool{"first": true, "second": true, "third": true, "overtaken": false} {
		if got := pushed(w, tag); got != want {
			t.Errorf("%s was pushed: %t, want %t", tag, got, want)
		}
	}
	daemon.end(t)
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// Clients of one buildkitd: what buildkitd fetched with a password it uses for
// that client alone, but a bearer token out of config.json also for pulls of a
// client without any login, as long as it keeps it (54 s).
func TestBuildkitShared(t *testing.T) {
	t.Parallel()
	w := newBuildNode(t, time.Minute, connectors{"tokens": buildTokens("pull"), "logins": longLogin})
	stranger := handWritten(t, w, map[string]string{})
	for connector, refused := range map[string]string{
		"logins": "team%2Fbase%3Apull",       // the stranger cannot pull
		"tokens": "team%2Fapp%3Apull%2Cpush", // but only not push
	} {
		t.Run(connector, func(t *testing.T) {
			v := aVolume(connector, connector)
			publish(t, w, v)
			daemon := newBuilder(t, w, "/run/shared/"+connector)
			owner := client.Buildctl{Files: filesOf(w, v), Daemon: daemon.Buildkit}
			if err := owner.Run(t.Context(), build(w, connector)); connector == "logins" {
				must(t, err)
			} else if want := "error: failed to solve: failed to push " + w.Image("team/app", connector) + ": push access denied, repository does not exist or may require authorization: " +
				"server message: insufficient_scope: authorization failed"; complaint(t, err) != want {
				t.Errorf("the owner of a token that must not push is told\n\t%s\nwant\n\t%s", complaint(t, err), want)
			}
			other := client.Buildctl{Files: client.Files{DockerConfig: stranger, CA: w.CAFile()}, Daemon: daemon.Buildkit}
			want := "error: failed to solve: failed to fetch anonymous token: unexpected status from GET request to https://" + w.TokensHost() +
				"/token?scope=repository%3A" + refused + "&service=registry.test: 401 Unauthorized"
			if got := complaint(t, other.Run(t.Context(), build(w, "stranger"))); got != want {
				t.Errorf("the stranger is told\n\t%s\nwant\n\t%s", got, want)
			}
			daemon.end(t)
			unpublish(t, w, v)
		})
	}
	nothingLeft(t, w)
}

// buildTokens is a Connector that gives out bearer tokens with which a build
// can pull the base image, and do what the actions say with its result.
func buildTokens(actions string) string {
	return `scope: {repositories: [team/base, team/app], actions: [` + actions + `]}
issuer: {distributionToken: {secretRef: {name: login}, output: registryToken, minimumLife: 5s}}`
}

// tokenOf is the token that a volume shows.
func tokenOf(t *testing.T, w *world.World, v kubelet.Volume) tokenserver.Token {
	t.Helper()
	raw := shown(t, w, v).RegistryToken
	for _, token := range w.Tokens.Issued() {
		if token.Raw == raw {
			return token
		}
	}
	t.Fatal("the volume shows no token")
	return tokenserver.Token{}
}
