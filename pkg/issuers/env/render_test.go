package env_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/env"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// volume renders what a Connector of these variables gives, before a later
// Connector that would serve every one of its hosts.
func volume(t *testing.T, configuration string, registries []render.Registry, lines ...string) (map[string]string, error) {
	t.Helper()
	c, err := issue(t, secretOnly, variables(lines...))
	if err != nil {
		t.Fatal(err)
	}
	c.IssuedAt = time.Time{}
	later := &connector.Credential{}
	for _, r := range registries {
		later.Entries = append(later.Entries, connector.Entry{Key: connector.Key{Host: r.Host}, Username: "later", Password: connector.NewSecret("later")})
	}
	source := render.Source{Connector: connector.Ref{Namespace: "ci", Name: "corp"}, Written: "corp", Issuer: env.Kind, Registries: registries, Credential: c}
	sources := []render.Source{source, {Connector: connector.Ref{Namespace: "ci", Name: "later"}, Written: "later", Issuer: "secret", Credential: later}}
	if configuration == "fields" {
		sources = sources[:1]
	}
	files, err := render.Render(render.Input{Configurations: []string{configuration}, Sources: sources})
	got := map[string]string{}
	for _, f := range files {
		got[f.Path] = string(f.Data)
	}
	return got, err
}

func hosts(names ...string) []render.Registry {
	var all []render.Registry
	for _, name := range names {
		all = append(all, render.Registry{Host: name})
	}
	return all
}

// auths are the logins of a config.json: user:password by host.
func auths(t *testing.T, file string) map[string]string {
	t.Helper()
	var config struct {
		Auths map[string]struct {
			Auth                         []byte
			IdentityToken, RegistryToken string
		}
	}
	if err := json.Unmarshal([]byte(file), &config); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for host, a := range config.Auths {
		all[host] = string(a.Auth) + a.IdentityToken + a.RegistryToken
	}
	return all
}

// TestRenderedLogins shows what clients find that look for exact hosts only.
func TestRenderedLogins(t *testing.T) {
	tests := map[string]struct {
		registries []render.Registry
		lines      []string
		want       map[string]string
		refused    string
	}{
		"patterns are written out for the declared hosts": {
			hosts("1.dkr.ecr.us-east-1.amazonaws.com", "2.dkr.ecr.eu-west-1.amazonaws.com", "docker.io"),
			[]string{"HOSTNAME_0=*.dkr.ecr.*.amazonaws.com", "USERNAME_0=AWS", "PASSWORD_0=p", "HOSTNAME_1=*.docker.io", "USERNAME_1=hub", "PASSWORD_1=p", "HOSTNAME_2=own.io", "REGISTRY_TOKEN_2=t"},
			map[string]string{
				"1.dkr.ecr.us-east-1.amazonaws.com": "AWS:p", "2.dkr.ecr.eu-west-1.amazonaws.com": "AWS:p",
				"https://index.docker.io/v1/": "hub:p", "own.io": "t",
			},
			"",
		},
		"the exact entry wins its host": {
			hosts("a.corp.io", "b.corp.io"),
			[]string{"HOSTNAME_0=*.corp.io", "USERNAME_0=wide", "PASSWORD_0=p", "HOSTNAME_1=a.corp.io", "USERNAME_1=exact", "PASSWORD_1=p"},
			map[string]string{"a.corp.io": "exact:p", "b.corp.io": "wide:p"},
			"",
		},
		"no login shadows the pattern and the later Connector": {
			hosts("a.corp.io", "b.corp.io", "c.lab.io"),
			[]string{"HOSTNAME_0=*.corp.io", "USERNAME_0=wide", "PASSWORD_0=p", "HOSTNAME_1=a.corp.io", "HOSTNAME_2=*.lab.io"},
			map[string]string{"b.corp.io": "wide:p"},
			"",
		},
		"a path alone on its host": {
			hosts("a.corp.io"),
			[]string{"HOSTNAME=a.corp.io/team/app", "USERNAME=path", "PASSWORD=p"},
			map[string]string{"a.corp.io": "path:p"},
			"",
		},
		"no login beside a path": {
			nil,
			[]string{"HOSTNAME_0=a.corp.io/team", "USERNAME_0=path", "PASSWORD_0=p", "HOSTNAME_1=a.corp.io"},
			map[string]string{"a.corp.io": "path:p"},
			"",
		},
		"a pattern for nobody": {
			hosts("a.lab.io"),
			[]string{"HOSTNAME=*.corp.io", "USERNAME=wide", "PASSWORD=p"},
			nil, "configuration docker-config: connector ci/corp: the entry for *.corp.io matches none of its declared hosts, and clients look up exact hosts only: list the hosts in spec.registries",
		},
		"different logins for the paths of a host": {
			nil,
			[]string{"HOSTNAME_0=a.io/x", "USERNAME_0=x", "PASSWORD_0=p", "HOSTNAME_1=a.io/y", "USERNAME_1=y", "PASSWORD_1=p"},
			nil, "configuration docker-config: connector ci/corp: registry a.io: there are different credentials for x, y, and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
		},
		"a path without a login": {
			nil,
			[]string{"HOSTNAME_0=a.io/public", "HOSTNAME_1=a.io", "USERNAME_1=y", "PASSWORD_1=p"},
			nil, "configuration docker-config: connector ci/corp: registry a.io: there are different credentials for public (anonymous), (whole host), and the format holds one per host: leave one of them in the Connector, or use one Connector and volume for each",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			files, err := volume(t, "docker-config", test.registries, test.lines...)
			if test.refused != "" {
				if err == nil || err.Error() != test.refused || !errors.Is(err, connector.ErrPrecondition) {
					t.Errorf("error is %v, want %s", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, auths(t, files["config.json"])); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRenderedFiles(t *testing.T) {
	registries := []render.Registry{
		{Host: "a.corp.io"},
		{Host: "b.corp.io:5000", PlainHTTP: true},
		{Host: "docker.io", Mirrors: []string{"https://a.corp.io", "https://a.corp.io/hub"}},
	}
	lines := []string{"HOSTNAME_0=*.corp.io", "USERNAME_0=u", "PASSWORD_0=" + canary, "HOSTNAME_1=b.corp.io:5000", "HOSTNAME_2=docker.io"}
	tests := map[string]map[string]string{
		"docker-config": {
			"config.json": "{\n  \"auths\": {\n    \"a.corp.io\": {\n      \"auth\": \"dTpjYW5hcnktcGFzc3dvcmQtN2YzYQ==\"\n    }\n  }\n}\n",
		},
		"buildkitd": {
			"buildkitd.toml": `# Registries of this volume. buildkitd reads this file when it starts.
[registry]
[registry.'b.corp.io:5000']
http = true

[registry.'docker.io']
mirrors = ['a.corp.io', 'a.corp.io/hub']
`,
		},
		"containers-auth": {
			"auth.json": "{\n  \"auths\": {\n    \"a.corp.io\": {\n      \"auth\": \"dTpjYW5hcnktcGFzc3dvcmQtN2YzYQ==\"\n    }\n  }\n}\n",
		},
		"dockerd": {
			"daemon.json": "{\n  \"insecure-registries\": [\n    \"b.corp.io:5000\"\n  ],\n  \"registry-mirrors\": [\n    \"https://a.corp.io\"\n  ]\n}\n",
		},
		"fields": {
			".dockerconfigjson": "{\n  \"auths\": {\n    \"a.corp.io\": {\n      \"auth\": \"dTpjYW5hcnktcGFzc3dvcmQtN2YzYQ==\"\n    }\n  }\n}\n",
			"auth":              "dTpjYW5hcnktcGFzc3dvcmQtN2YzYQ==", "username": "u", "password": canary, "registry": "a.corp.io",
		},
	}
	for configuration, want := range tests {
		t.Run(configuration, func(t *testing.T) {
			files, err := volume(t, configuration, registries, lines...)
			if err != nil {
				t.Fatal(err)
			}
			var report render.Report
			if err := json.Unmarshal([]byte(files["regcred.json"]), &report); err != nil {
				t.Fatal(err)
			}
			delete(files, "regcred.json")
			if diff := cmp.Diff(want, files); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"a.corp.io basic true", "b.corp.io:5000 anonymous false", "docker.io anonymous false"}, told(report)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// told are the entries of regcred.json with form and longLived.
func told(r render.Report) []string {
	var all []string
	for _, e := range r.Entries {
		life := " false"
		if e.LongLived {
			life = " true"
		}
		all = append(all, e.Host+" "+string(e.Form)+life)
	}
	return all
}
