package clients

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// Docker and crane push and pull with a bearer token of seconds, the registry
// refuses it once it is over, and then they do it again with its successor.
func TestRegistryToken(t *testing.T) {
	t.Parallel()
	const life = 12 * time.Second
	w := newNode(t, life, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	v.Attributes["configuration.names"] = "docker-config,dockerd"
	publish(t, w, v)

	first := w.Tokens.Issued()[0]
	if got := shown(t, w, v); got != (entry{RegistryToken: first.Raw}) {
		t.Errorf("config.json does not show the token and nothing else: %d bytes of token, user %q", len(got.RegistryToken), got.Username)
	}
	for name, content := range files(t, w.Kubelet.Target(v)) {
		if strings.Contains(content, canary) {
			t.Errorf("%s shows the password", name)
		}
	}
	path := "/v2/team/app/tags/list"
	clients := tokenClients(t, w, v)
	for _, c := range clients {
		pushAndPull(t, w, c, newArchive(t), "first")
	}
	if status := ask(t, w, path, first.Raw); status != http.StatusOK {
		t.Fatalf("the registry answers %d to the first token", status)
	}
	for _, c := range clients { // they log in by the file, not by a password of their own
		if !slices.ContainsFunc(w.Registry.Accesses(), func(a registry.Access) bool {
			return a.Method == http.MethodPut && a.Status == http.StatusCreated && strings.HasSuffix(a.Path, c.Name()+"-first")
		}) {
			t.Errorf("the access log shows no push by %s", c.Name())
		}
	}

	awaitEntry(t, w, v, life, func(e entry) bool { return e.RegistryToken != "" && e.RegistryToken != first.Raw })
	if left := time.Until(first.ExpiresAt); left <= 0 {
		t.Errorf("the second token came %s after the first one's end", -left)
	}
	ctx, cancel := context.WithDeadline(t.Context(), first.ExpiresAt.Add(registry.Leeway+patience))
	defer cancel()
	must(t, child.Until(ctx, func(ctx context.Context) error {
		if status := ask(t, w, path, first.Raw); status != http.StatusUnauthorized {
			return fmt.Errorf("the registry answers %d to the first token", status)
		}
		return nil
	}))
	if early := time.Until(first.ExpiresAt.Add(registry.Leeway)); early > time.Second {
		t.Errorf("the registry refuses the first token %s too early: not because it is over", early)
	}
	for _, c := range clients {
		pushAndPull(t, w, c, newArchive(t), "second")
	}
	checkIntervals(t, w.Tokens.Issued(), life)
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// checkIntervals: each token is replaced while it lives, and no sooner than
// its life asks for.
func checkIntervals(t *testing.T, tokens []tokenserver.Token, life time.Duration) {
	t.Helper()
	for i, token := range tokens[1:] {
		// Tokens are dated in whole seconds.
		if age := token.IssuedAt.Sub(tokens[i].IssuedAt); age < life/2-time.Second || age >= life {
			t.Errorf("token %d was replaced at the age of %s, its life is %s", i, age, life)
		}
	}
}

func ask(t *testing.T, w *world.World, path, bearer string) (status int) {
	t.Helper()
	status, err := w.Registry.Ask(t.Context(), http.MethodGet, path, bearer)
	must(t, err)
	return status
}

// tokenClients are those that read a registrytoken. dockerd gets its trust
// from the volume too, by the path where it looks for it.
func tokenClients(t *testing.T, w *world.World, v kubelet.Volume) []client.Client {
	t.Helper()
	clients := []client.Client{client.Crane{Files: filesOf(w, v)}}
	daemon := newDaemon(t)
	if daemon == nil {
		t.Log("docker is left out: dockerd needs the machine's root")
		return clients
	}
	must(t, client.TrustCertificates(w.Registry.Host(), filepath.Join(w.Kubelet.Target(v), "certs.d")))
	return append(clients, client.NewDocker(filesOf(w, v), daemon))
}

// Token servers know GET, POST or both.
func TestBothFlows(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, time.Minute, connectors{"tokens": shortToken})
			w.Tokens.Only(method)
			v := aVolume("pipeline", "tokens")
			publish(t, w, v)
			pushAndPull(t, w, client.Crane{Files: filesOf(w, v)}, newArchive(t), "flow")
		})
	}
}

// Pods of one ServiceAccount that start together cost the provider one call.
func TestOneTokenForManyPods(t *testing.T) {
	t.Parallel()
	const pods = 50
	w := newNode(t, time.Minute, connectors{"tokens": shortToken})
	group, ctx := errgroup.WithContext(t.Context())
	for i := range pods {
		group.Go(func() error { return w.Kubelet.Publish(ctx, aVolume(fmt.Sprint("pod-", i), "tokens")) })
	}
	must(t, group.Wait())
	if n := issued(w); n != 1 {
		t.Errorf("%d tokens were issued for %d pods of one ServiceAccount", n, pods)
	}
	for i := range pods {
		if shown(t, w, aVolume(fmt.Sprint("pod-", i), "tokens")).RegistryToken == "" {
			t.Errorf("pod %d has no token", i)
		}
	}
}

// The provider fails when a renewal is due: the last good token stays until it
// ends, never longer, and the next one comes when the provider is back.
func TestProviderDownDuringRenewal(t *testing.T) {
	t.Parallel()
	const life = 8 * time.Second
	w := newNode(t, life, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	publish(t, w, v)
	first := w.Tokens.Issued()[0]
	restore := w.Tokens.Fail(http.StatusServiceUnavailable, nil, "")
	awaitEntry(t, w, v, life+within, func(e entry) bool { return e == entry{} })
	if early := time.Until(first.ExpiresAt); early > 0 {
		t.Errorf("the volume was emptied %s before the token's end", early)
	}
	if requests := w.Tokens.Requests(); requests < 2 || requests > 10 {
		t.Errorf("%d requests: the driver should ask again, and not all the time", requests)
	}
	restore()
	awaitEntry(t, w, v, patience, func(e entry) bool { return e.RegistryToken != "" })
}

// A token server answers 200 with less than what was asked. A volume must not
// start with that.
func TestReducedScopeIsRefused(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{"tokens": strings.Replace(shortToken, "[team/app]", "[team/app, team/base]", 1)})
	v := aVolume("pipeline", "tokens")
	refused(t, w, v, codes.PermissionDenied, "connector ci/tokens: obtaining a credential for ServiceAccount ci/builder: "+
		`the user of Secret "login" is granted less at `+w.Registry.Host()+" than asked for: no push on team/base; grant it there, "+
		"ask for less (spec.scope, volume attributes repositories and actions), or set spec.scopeEnforcement: BestEffort to take what is left")

	v.Attributes["repositories"], v.Attributes["actions"] = "team/base", "pull"
	publish(t, w, v)
	tokens := w.Tokens.Issued()
	want := []tokenserver.Access{{Type: "repository", Name: "team/base", Actions: []string{"pull"}}}
	if diff := cmp.Diff(want, tokens[len(tokens)-1].Access); diff != "" {
		t.Errorf("access of the narrowed volume (-want +got):\n%s", diff)
	}
	unpublish(t, w, v)
	nothingLeft(t, w)
}
