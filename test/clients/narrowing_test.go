package clients

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
)

// twoRepositories is a Connector that gives out tokens for both repositories,
// which volumes narrow.
const twoRepositories = `scope: {repositories: [team/app, team/base], actions: [pull, push]}
issuer: {distributionToken: {secretRef: {name: login}, output: registryToken, minimumLife: 5s}}`

// A volume that is narrowed holds a token of exactly that scope, and clients
// get no further with it.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	w := newNode(t, matrixLife, connectors{"tokens": twoRepositories})
	w.Tokens.Grant(user, "team/base", "pull", "push")
	daemon := newDaemon(t, "SSL_CERT_FILE="+w.CAFile())
	all := client.Crane{Files: client.Files{
		DockerConfig: handWritten(t, w, map[string]string{"username": user, "password": password}), CA: w.CAFile(),
	}}
	app, base := w.Image("team/app", seed), w.Image("team/base", seed)
	for _, reference := range []string{app, base} {
		must(t, all.Push(t.Context(), newArchive(t), reference))
	}

	tests := map[string]struct {
		repositories, actions string
		access                []tokenserver.Access
		pullApp, pullBase     bool
		pushApp               bool
	}{
		"nothing narrowed": {
			access: []tokenserver.Access{
				{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}},
				{Type: "repository", Name: "team/base", Actions: []string{"pull", "push"}},
			},
			pullApp: true, pullBase: true, pushApp: true,
		},
		"to pull": {
			actions: "pull",
			access: []tokenserver.Access{
				{Type: "repository", Name: "team/app", Actions: []string{"pull"}},
				{Type: "repository", Name: "team/base", Actions: []string{"pull"}},
			},
			pullApp: true, pullBase: true,
		},
		"to one repository": {
			repositories: "team/app",
			access:       []tokenserver.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}},
			pullApp:      true, pushApp: true,
		},
		"to pull from one repository": {
			repositories: "team/app", actions: "pull",
			access:  []tokenserver.Access{{Type: "repository", Name: "team/app", Actions: []string{"pull"}}},
			pullApp: true,
		},
	}
	for name, tt := range tests { // one after the other: each looks at the token issued last
		t.Run(name, func(t *testing.T) {
			v := aVolume(strings.ReplaceAll(name, " ", "-"), "tokens")
			for attribute, value := range map[string]string{"repositories": tt.repositories, "actions": tt.actions} {
				if value != "" {
					v.Attributes[attribute] = value
				}
			}
			publish(t, w, v)
			tokens := w.Tokens.Issued()
			token := tokens[len(tokens)-1]
			if shown(t, w, v).RegistryToken != token.Raw {
				t.Error("config.json does not show the token issued last")
			}
			if diff := cmp.Diff(tt.access, token.Access); diff != "" {
				t.Errorf("access of the token (-want +got):\n%s", diff)
			}
			for _, p := range programs() {
				if p.name != "crane" && p.name != "docker" && p.name != "buildkit" {
					continue
				}
				t.Run(p.name, func(t *testing.T) {
					c := p.with(t, filesOf(w, v), daemon)
					allowed(t, "pulling from team/app", tt.pullApp, c.Pull(t.Context(), app))
					allowed(t, "pulling from team/base", tt.pullBase, c.Pull(t.Context(), base))
					allowed(t, "pushing to team/app", tt.pushApp, c.Push(t.Context(), newArchive(t), w.Image("team/app", strings.ReplaceAll(name, " ", "-")+p.name)))
				})
			}
		})
	}
}

// allowed holds what a client was told against what it may do.
func allowed(t *testing.T, what string, may bool, err error) {
	t.Helper()
	switch {
	case may && err != nil:
		t.Errorf("%s: %v", what, err)
	case !may:
		if err := letsNobodyIn(what, err); err != nil {
			t.Error(err)
		}
	}
}

// A narrowed login is a bearer token. What cannot carry one is refused as a
// whole, and tells which format and field; nothing wider takes its place.
func TestNarrowingNeedsAFormat(t *testing.T) {
	t.Parallel()
	const connector = "connector ci/tokens: registry {registry}: "
	for configuration, want := range map[string]string{
		"containers-auth": connector + "registrytoken: podman, buildah and skopeo read none from auth.json: " +
			"let the issuer give a password or an identity token, or use docker-config with a client that reads it",
		"docker-helper": connector + "a credential helper cannot give a registrytoken: use the configuration docker-config, " +
			"or a Connector that gives a password or an identity token",
	} {
		t.Run(configuration, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, matrixLife, connectors{"tokens": twoRepositories, "logins": longLogin})
			w.Tokens.Grant(user, "team/base", "pull", "push")
			v := aVolume("narrow", "tokens")
			v.Attributes["configuration.names"], v.Attributes["actions"] = configuration, "pull"
			refused(t, w, v, codes.FailedPrecondition,
				"configuration "+configuration+": "+strings.ReplaceAll(want, "{registry}", w.Registry.Host()))

			v.Attributes["connectors"] = "logins" // a login cannot be narrowed
			refused(t, w, v, codes.FailedPrecondition, "connector ci/logins: obtaining a credential for ServiceAccount ci/builder: "+
				"issuer distributionToken cannot limit a credential to repositories or actions: "+
				"take scope and narrowing away, or set spec.scopeEnforcement: BestEffort on the Connector")
		})
	}
}
