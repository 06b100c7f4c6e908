package render_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func TestExplain(t *testing.T) {
	wide := source("wide", basic("*.example.com", "w", "w"), basic("hub.example.com", "h", "h"), basic("hub.example.com", "again", "again"))
	wide.Registries = []render.Registry{{Host: "hub.example.com"}, {Host: "other.example.com", CA: certificate("other")}}
	late := source("late", basic("hub.example.com/team", "l", "l"))
	a, b := wide.Connector, late.Connector
	got, err := render.Explain(render.Input{
		Configurations: []string{"docker-config", "buildkitd", "dockerd"}, Exclude: []string{"daemon.json", "certs.d"},
		Sources: []render.Source{wide, late},
	})
	if err != nil {
		t.Fatal(err)
	}
	glob, hub := key("*.example.com"), key("hub.example.com")
	if diff := cmp.Diff([]render.Placement{
		{File: "buildkitd.toml", Entry: "other.example.com", Connector: a},
		{File: "ca.crt", Entry: "other.example.com", Connector: a},
		{File: "certs/other.example.com.crt", Connector: a},
		{
			File: "config.json", Entry: "hub.example.com", Connector: a, From: []connector.Key{hub},
			Rules: []connector.Rule{connector.LiteralHost, connector.ListOrder},
		},
		{File: "config.json", Entry: "other.example.com", Connector: a, From: []connector.Key{glob}},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]render.Shadowed{
		{Host: "hub.example.com", Key: hub, Connector: a, By: hub, ByConnector: a, Rule: connector.ListOrder},
		{Host: "hub.example.com", Key: glob, Connector: a, By: hub, ByConnector: a, Rule: connector.LiteralHost},
		{Host: "hub.example.com", Key: key("hub.example.com/team"), Connector: b, By: hub, ByConnector: a, Rule: connector.ListOrder},
	}, got.Shadowed); diff != "" {
		t.Error(diff)
	}
	if len(got.Report.Entries) != 2 || len(got.Report.Lost) != 1 {
		t.Errorf("report: %+v", got.Report)
	}
}

// A mirror is its host's, and how it is trusted is said by the connector of its
// own host.
func TestExplainContainerd(t *testing.T) {
	hub := with(source("hub", basic("docker.io", "h", "h")), render.Registry{Host: "docker.io", Mirrors: []string{"https://cache.example/hub", "https://open.example"}})
	cache := with(source("cache", basic("cache.example", "c", "c")), render.Registry{Host: "cache.example", CA: certificate("cache")})
	a, b := hub.Connector, cache.Connector
	got, err := render.Explain(render.Input{
		Configurations: []string{"containerd", "certs-d"}, Exclude: []string{"!ca.crt"}, Sources: []render.Source{hub, cache},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]render.Placement{
		{File: "cache.example/ca.crt", Connector: b},
		{File: "cache.example/hosts.toml", Entry: "server https://cache.example", Connector: b},
		{File: "docker.io/hosts.toml", Entry: "server https://registry-1.docker.io", Connector: a},
		{File: "docker.io/hosts.toml", Entry: "mirror https://cache.example/v2/hub", Connector: a},
		{File: "docker.io/hosts.toml", Entry: "trust of mirror https://cache.example/v2/hub", Connector: b},
		{File: "docker.io/hosts.toml", Entry: "mirror https://open.example", Connector: a},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

func TestExplainCertsD(t *testing.T) {
	s := with(source("a", basic("hub.example.com:5000", "h", "h")), render.Registry{
		Host: "hub.example.com:5000", CA: certificate("hub"), ClientCertificate: certificate("client"), ClientKey: secret("client-key"),
	})
	got, err := render.Explain(render.Input{Configurations: []string{"certs-d"}, Exclude: []string{"!hub.example.com:5000/ca.crt"}, Sources: []render.Source{s}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]render.Placement{
		{File: "ca.crt", Entry: "hub.example.com:5000", Connector: s.Connector},
		{File: "hub.example.com:5000/client.cert", Connector: s.Connector},
		{File: "hub.example.com:5000/client.key", Connector: s.Connector},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

// With fields each connector speaks for itself, so nothing stands back.
func TestExplainFields(t *testing.T) {
	got, err := render.Explain(render.Input{
		Configurations: []string{"fields"}, Exclude: []string{"a/auth", "a/password", "a/registry", "b"},
		Sources: []render.Source{source("a", basic("hub.example.com", "u", "p")), source("b", basic("hub.example.com", "u", "p"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	from := []connector.Key{{Host: "hub.example.com"}}
	ref := source("a").Connector
	if got.Shadowed != nil || got.Report.Lost != nil || len(got.Report.Entries) != 2 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]render.Placement{
		{File: "a/.dockerconfigjson", Entry: "hub.example.com", Connector: ref, From: from},
		{File: "a/expiry", Connector: ref, From: from},
		{File: "a/username", Connector: ref, From: from},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

// A value file is made from what precedence kept, and says by which rule.
func TestExplainFieldsTellsRules(t *testing.T) {
	s := with(source("a", basic("*.example", "b", "b"), anonymous("open.example"), basic("reg.example", "u", "p")), hosts("reg.example", "open.example")...)
	got, err := render.Explain(render.Input{
		Configurations: []string{"fields"}, Exclude: []string{"auth", "expiry", "registry", "username"}, Sources: []render.Source{s},
	})
	if err != nil {
		t.Fatal(err)
	}
	from, rules := []connector.Key{{Host: "reg.example"}}, []connector.Rule{connector.LiteralHost}
	if diff := cmp.Diff([]render.Placement{
		{File: ".dockerconfigjson", Entry: "reg.example", Connector: s.Connector, From: from, Rules: rules},
		{File: "password", Connector: s.Connector, From: from, Rules: rules},
	}, got.Placements); diff != "" {
		t.Error(diff)
	}
}

func TestExplainRefusesAsRenderDoes(t *testing.T) {
	in := render.Input{Configurations: []string{"none"}}
	_, want := render.Render(in)
	if _, err := render.Explain(in); want == nil || err == nil || err.Error() != want.Error() {
		t.Errorf("%v, want %v", err, want)
	}
}
