package anonymous_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/anonymous"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func conn(registries ...connector.Registry) *connector.Connector {
	return &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "public"}, ObjectNamespace: "ci", Registries: registries,
		Issuer: connector.IssuerConfig{Kind: anonymous.Kind, Config: json.RawMessage(`{}`)},
	}
}

func issue(t *testing.T, c *connector.Connector) (*connector.Credential, error) {
	t.Helper()
	issuer, err := anonymous.Definition().New(c.Issuer.Config)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Issue(t.Context(), issuers.Request{Connector: c})
}

func TestConformance(t *testing.T) {
	issuertest.Run(t, issuertest.Harness{
		Definition: anonymous.Definition(),
		NotApplicable: map[issuertest.Part]string{
			issuertest.Expiry:          "there is nothing that could end",
			issuertest.WrongAudience:   "no pod token is used",
			issuertest.ExpiredIdentity: "no pod token is used",
			issuertest.RateLimited:     "nobody is called",
			issuertest.ServerError:     "nobody is called",
			issuertest.LongBody:        "nobody is called",
			issuertest.SlowBody:        "nobody is called",
			issuertest.Redirect:        "nobody is called",
			issuertest.Echo:            "nobody is called",
			issuertest.ScopeReduced:    "what everybody has cannot be limited",
			issuertest.RevokeTwice:     "nothing is made at a provider",
		},
		Setup: func(*testing.T) *issuertest.Scene {
			return &issuertest.Scene{
				Connector: conn(connector.Registry{Host: "open.example"}),
				Accepts: func(t *testing.T, c *connector.Credential) {
					t.Helper()
					if e := c.Entries[0]; e.Key.Host != "open.example" || !e.Empty() || e.Username != "" {
						t.Errorf("the entry for %s is not empty", e.Key)
					}
				},
			}
		},
	})
}

// Every declared host counts, also one that only names its mirrors.
func TestIssue(t *testing.T) {
	c, err := issue(t, conn(connector.Registry{Host: "docker.io", Mirrors: []string{"https://cache.example"}}, connector.Registry{Host: "cache.example:5000", PlainHTTP: true}))
	if err != nil {
		t.Fatal(err)
	}
	if c.IssuedAt.IsZero() {
		t.Error("IssuedAt is missing")
	}
	c.IssuedAt = time.Time{}
	want := &connector.Credential{
		Entries: []connector.Entry{
			{Key: connector.Key{Host: "docker.io"}, Anonymous: true},
			{Key: connector.Key{Host: "cache.example:5000"}, Anonymous: true},
		},
		Static: true, Grain: connector.GrainNone,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
}

func TestRefusals(t *testing.T) {
	_, err := issue(t, conn())
	var e *issuers.Error
	if !errors.As(err, &e) || e.Class != issuers.Terminal || e.Reason != "RegistryMissing" ||
		e.Message != "the Connector declares no registry to use anonymously: add spec.address (or spec.registries)" {
		t.Errorf("error is %#v", err)
	}
	if _, err := anonymous.Definition().New(json.RawMessage(`{"hosts":["a"]}`)); !errors.Is(err, connector.ErrInvalid) {
		t.Errorf("an unknown field: %v", err)
	}
}

// What is said of the hosts is rendered, no login is, and a later connector's
// login is not taken; an earlier one's is.
func TestRendered(t *testing.T) {
	c, err := issue(t, conn(connector.Registry{Host: "docker.io"}, connector.Registry{Host: "cache.example:5000"}))
	if err != nil {
		t.Fatal(err)
	}
	open := render.Source{
		Connector: connector.Ref{Namespace: "ci", Name: "public"}, Written: "public", Issuer: anonymous.Kind, Credential: c,
		Registries: []render.Registry{{Host: "docker.io", Mirrors: []string{"http://cache.example:5000"}}, {Host: "cache.example:5000", PlainHTTP: true}},
	}
	login := render.Source{
		Connector: connector.Ref{Namespace: "ci", Name: "hub"}, Written: "hub", Issuer: "secret",
		Credential: &connector.Credential{Entries: []connector.Entry{{Key: connector.Key{Host: "docker.io"}, Username: "u", Password: connector.NewSecret("p")}}},
	}
	const (
		none = "{}\n"
		hub  = "{\n  \"auths\": {\n    \"https://index.docker.io/v1/\": {\n      \"auth\": \"dTpw\"\n    }\n  }\n}\n"
	)
	tests := map[string]struct {
		configuration string
		sources       []render.Source
		want          map[string]string
	}{
		"docker-config, first":   {"docker-config", []render.Source{open, login}, map[string]string{"config.json": none}},
		"docker-config, last":    {"docker-config", []render.Source{login, open}, map[string]string{"config.json": hub}},
		"containers-auth, first": {"containers-auth", []render.Source{open, login}, map[string]string{"auth.json": none}},
		"containers-registries": {"containers-registries", []render.Source{open, login}, map[string]string{
			"registries.conf": "# Registries of this volume, for podman, buildah and skopeo.\n[[registry]]\nprefix = 'cache.example:5000'\nlocation = 'cache.example:5000'\ninsecure = true\n\n[[registry]]\nprefix = 'docker.io'\nlocation = 'docker.io'\n\n[[registry.mirror]]\nlocation = 'cache.example:5000'\ninsecure = true\n",
		}},
		"buildkitd": {"buildkitd", []render.Source{open, login}, map[string]string{
			"buildkitd.toml": "# Registries of this volume. buildkitd reads this file when it starts.\n[registry]\n[registry.'cache.example:5000']\nhttp = true\n\n[registry.'docker.io']\nmirrors = ['cache.example:5000']\n",
		}},
		"dockerd": {"dockerd", []render.Source{open, login}, map[string]string{
			"daemon.json": "{\n  \"insecure-registries\": [\n    \"cache.example:5000\"\n  ],\n  \"registry-mirrors\": [\n    \"http://cache.example:5000\"\n  ]\n}\n",
		}},
		"fields": {"fields", []render.Source{open}, map[string]string{".dockerconfigjson": none}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files, err := render.Render(render.Input{Configurations: []string{test.configuration}, Sources: test.sources})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, f := range files {
				if f.Path != render.ReportName {
					got[f.Path] = string(f.Data)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
