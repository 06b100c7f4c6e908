package volume

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func TestParseAttributes(t *testing.T) {
	harbor := Use{Written: "harbor", Ref: connector.Ref{Namespace: "ci", Name: "harbor"}}
	docker := []string{"docker-config"}
	tests := []struct {
		name       string
		attributes map[string]string
		want       Attributes
	}{
		{
			name:       "one connector is enough",
			attributes: map[string]string{"connectors": "harbor"},
			want:       Attributes{Uses: []Use{harbor}, Configurations: docker},
		},
		{
			name: "everything",
			attributes: map[string]string{
				"connectors":                  "harbor, shared/hub,cluster:mirror",
				"configuration.names":         "registry-config, buildkitd,!certs/ca.crt",
				"repositories.harbor":         "team/app,team/**",
				"actions.harbor":              "push,pull",
				"repositories.shared/hub":     "library/*",
				"actions.cluster:mirror":      "pull",
				"token.expiration":            "30m",
				"token.minimum":               "20m",
				"mount.path":                  "/etc/buildkit",
				"file.mode":                   "0440",
				"repositories.cluster:mirror": "a_b/c-*",
			},
			want: Attributes{
				Uses: []Use{
					{Written: "harbor", Ref: connector.Ref{Namespace: "ci", Name: "harbor"}, Want: connector.Scope{Repositories: []string{"team/app", "team/**"}, Actions: []connector.Action{"pull", "push"}}},
					{Written: "shared/hub", Ref: connector.Ref{Namespace: "shared", Name: "hub"}, Want: connector.Scope{Repositories: []string{"library/*"}}},
					{Written: "cluster:mirror", Ref: connector.Ref{Name: "mirror"}, Want: connector.Scope{Repositories: []string{"a_b/c-*"}, Actions: []connector.Action{"pull"}}},
				},
				Configurations: []string{"docker-config", "buildkitd"},
				Exclude:        []string{"certs/ca.crt"},
				TTL:            30 * time.Minute, MinimumLife: 20 * time.Minute,
				MountPath: "/etc/buildkit", FileMode: 0o440,
			},
		},
		{
			name:       "an exclusion alone keeps the default configuration",
			attributes: map[string]string{"connectors": "harbor", "configuration.names": "!ca.crt"},
			want:       Attributes{Uses: []Use{harbor}, Configurations: docker, Exclude: []string{"ca.crt"}},
		},
		{
			name:       "bare repositories and actions mean the only connector",
			attributes: map[string]string{"connectors": "harbor", "repositories": "team/app", "actions": "pull"},
			want: Attributes{
				Uses:           []Use{{Written: "harbor", Ref: harbor.Ref, Want: connector.Scope{Repositories: []string{"team/app"}, Actions: []connector.Action{"pull"}}}},
				Configurations: docker,
			},
		},
		{
			name:       "the older spelling",
			attributes: map[string]string{"connector.name": "harbor"},
			want:       Attributes{Uses: []Use{harbor}, Configurations: docker},
		},
		{
			name:       "the older spelling with a namespace",
			attributes: map[string]string{"connector.name": "hub", "connector.namespace": "shared", "actions.shared/hub": "pull"},
			want: Attributes{
				Uses:           []Use{{Written: "shared/hub", Ref: connector.Ref{Namespace: "shared", Name: "hub"}, Want: connector.Scope{Actions: []connector.Action{"pull"}}}},
				Configurations: docker,
			},
		},
		{
			name:       "a connector with dots in its name",
			attributes: map[string]string{"connectors": "hub.example", "actions.hub.example": "pull"},
			want: Attributes{
				Uses:           []Use{{Written: "hub.example", Ref: connector.Ref{Namespace: "ci", Name: "hub.example"}, Want: connector.Scope{Actions: []connector.Action{"pull"}}}},
				Configurations: docker,
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseAttributes(test.attributes, "ci")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTooManyAttributes(t *testing.T) {
	attributes := map[string]string{"connectors": "a"}
	for i := range 200_000 {
		attributes[fmt.Sprintf("connector%d", i)] = "x"
	}
	_, err := ParseAttributes(attributes, "ci")
	if !errors.Is(err, connector.ErrInvalid) || err.Error() != "volumeAttributes: there are 200001; at most 128 have a meaning" {
		t.Error(err)
	}
}

func TestParseAttributesMistakes(t *testing.T) {
	const notARepository = `is not a repository or pattern: write lower-case segments without host, tag or digest, for example team/app, team/* or team/**`
	tests := []struct {
		name       string
		attributes map[string]string
		want       string
	}{
		{"nothing", nil, `connectors: is required: name at least one Connector of the pod's namespace, namespace/name, or cluster:name`},
		{"an empty value", map[string]string{"connectors": " "}, `connectors: is empty: give it a value or leave it out`},
		{"an empty item", map[string]string{"connectors": "a,,b"}, `connectors: has an empty item: write a comma only between two items`},
		{"a repeated item", map[string]string{"connectors": "a,a"}, `connectors: names "a" twice`},
		{"two names of one connector", map[string]string{"connectors": "a,ci/a"}, `connectors: "a" and "ci/a" are the same connector`},
		{"not a connector", map[string]string{"connectors": "A b"}, `connectors: "A b" is not a connector: write name, namespace/name or cluster:name`},
		{"too many connectors", map[string]string{"connectors": letters(33)}, `connectors: names 33 connectors; at most 32 can share a volume`},
		{"both spellings", map[string]string{"connectors": "a", "connector.name": "b"}, `connectors: is given beside connector.name or connector.namespace: write the connector in connectors only`},
		{"a namespace without a name", map[string]string{"connector.namespace": "b"}, `connector.namespace: is given without connector.name: write connectors: "NAMESPACE/NAME"`},
		{"a list in the older spelling", map[string]string{"connector.name": "a,b"}, `connector.name: "a,b" is not a name: for more than one connector, or one elsewhere, use connectors`},
		{"an unknown attribute", map[string]string{"connectors": "a", "conector": "b"}, `conector: is not a volume attribute; did you mean "connectors"?`},
		{"an unknown attribute for one connector", map[string]string{"connectors": "a", "repository.a": "b"}, `repository.a: is not a volume attribute; did you mean "repositories.a"?`},
		{"an attribute that resembles none", map[string]string{"connectors": "a", "password": "hunter2"}, `password: is not a volume attribute`},
		{"swapped letters", map[string]string{"connectors": "a", "flie.mode": "0444"}, `flie.mode: is not a volume attribute; did you mean "file.mode"?`},
		{"an unknown configuration", map[string]string{"connectors": "a", "configuration.names": "buildkit"}, `configuration.names: there is no configuration "buildkit"; did you mean "buildkitd"? (known: KNOWN)`},
		{"one configuration by two names", map[string]string{"connectors": "a", "configuration.names": "docker-config,registry-config"}, `configuration.names: "docker-config" and "registry-config" are the same configuration: keep one`},
		{"one configuration by two names, the older first", map[string]string{"connectors": "a", "configuration.names": "registry-config,docker-config"}, `configuration.names: "registry-config" and "docker-config" are the same configuration: keep one`},
		{"an exclusion outside the volume", map[string]string{"connectors": "a", "configuration.names": "!../x"}, `configuration.names: "!../x" is not a file of the volume: write, for example, "!config.json"`},
		{"repositories for many", map[string]string{"connectors": "a,b/c", "repositories": "x"}, `repositories: does not say for which connector: write repositories.a or repositories.b/c`},
		{"repositories for another", map[string]string{"connectors": "a", "repositories.b": "x"}, `repositories.b: no connector is written "b" in this volume: write repositories.a`},
		{"the report excluded", map[string]string{"connectors": "a", "configuration.names": "docker-config,!regcred.json"}, `configuration.names: "!regcred.json": every volume carries this file, by which its content is explained: leave the item away`},
		{"too many items", map[string]string{"connectors": "a", "repositories": strings.Repeat("x,", 64) + "x"}, `repositories: names 65 items; at most 64`},
		{"too long a value", map[string]string{"connectors": "a", "repositories": strings.Repeat("x", 4097)}, `repositories: is longer than 4096 bytes`},
		{"too many connectors", map[string]string{"connectors": strings.Repeat("x,", 200_000)}, `connectors: is longer than 4096 bytes`},
		{"repositories twice", map[string]string{"connectors": "a", "repositories.a": "x", "repositories": "y"}, `repositories.a: is given beside repositories, which means the same connector: keep one of both`},
		{"an empty wish", map[string]string{"connectors": "a", "repositories": ""}, `repositories: is empty: give it a value or leave it out`},
		{"an upper-case repository", map[string]string{"connectors": "a", "repositories": "Team/App"}, `repositories: "Team/App" ` + notARepository},
		{"a tag", map[string]string{"connectors": "a", "repositories": "team/app:1"}, `repositories: "team/app:1" ` + notARepository},
		{"a host with a port", map[string]string{"connectors": "a", "repositories": "h:5000/app"}, `repositories: "h:5000/app" ` + notARepository},
		{"an empty segment", map[string]string{"connectors": "a", "repositories": "team//app"}, `repositories: "team//app" ` + notARepository},
		{"a long repository", map[string]string{"connectors": "a", "repositories": strings.Repeat("a", 256)}, `repositories: "` + strings.Repeat("a", 256) + `" is longer than 255 characters`},
		{"a glued glob", map[string]string{"connectors": "a", "repositories": "team**"}, `repositories: "team**" uses ** beside other characters: ** stands alone between slashes, * within a segment`},
		{"an unknown action", map[string]string{"connectors": "a", "actions": "delete"}, `actions: "delete" is not a list of actions: write "pull" or "pull,push"`},
		{"a bare number", map[string]string{"connectors": "a", "token.expiration": "3600"}, `token.expiration: "3600" is not a positive duration: write, for example, "90s" or "1h30m"`},
		{"a zero duration", map[string]string{"connectors": "a", "token.minimum": "0s"}, `token.minimum: "0s" is not a positive duration: write, for example, "90s" or "1h30m"`},
		{"more than there can be", map[string]string{"connectors": "a", "token.minimum": "2h", "token.expiration": "1h"}, `token.minimum: 2h0m0s is more than token.expiration (1h0m0s), so no credential could ever be fresh enough`},
		{"a relative mount path", map[string]string{"connectors": "a", "mount.path": "etc"}, `mount.path: "etc" is not the absolute path of a volumeMount`},
		{"a mount path with a line break", map[string]string{"connectors": "a", "mount.path": "/e\nc"}, `mount.path: "/e\nc" is not the absolute path of a volumeMount`},
		{"an unclean mount path", map[string]string{"connectors": "a", "mount.path": "/etc/../x/"}, `mount.path: "/etc/../x/" is not a clean path: write "/x"`},
		{"a decimal mode", map[string]string{"connectors": "a", "file.mode": "0488"}, `file.mode: "0488" is not an octal mode: write, for example, "0440" in quotes`},
		{"a writable mode", map[string]string{"connectors": "a", "file.mode": "0644"}, `file.mode: "0644" allows more than reading: files of this volume are read-only, so only 0400, 0440 and 0444 make sense`},
		{"a setuid mode", map[string]string{"connectors": "a", "file.mode": "4444"}, `file.mode: "4444" allows more than reading: files of this volume are read-only, so only 0400, 0440 and 0444 make sense`},
		{"an ownerless mode", map[string]string{"connectors": "a", "file.mode": "0044"}, `file.mode: "0044" does not let the owner read: add 0400`},
		{
			"all at once",
			map[string]string{"connectors": "a,B", "mount.path": "x", "tokenexpiration": "1h"},
			`connectors: "B" is not a connector: write name, namespace/name or cluster:name
mount.path: "x" is not the absolute path of a volumeMount
tokenexpiration: is not a volume attribute; did you mean "token.expiration"?`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseAttributes(test.attributes, "ci")
			if !errors.Is(err, connector.ErrInvalid) {
				t.Fatalf("got %+v, %v; want an error that is ErrInvalid", got, err)
			}
			want := strings.ReplaceAll(test.want, "KNOWN", strings.Join(render.Names(), ", "))
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func letters(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "c" + strings.Repeat("x", i)
	}
	return strings.Join(names, ",")
}

// FuzzParseAttributes reads one attribute per line, KEY=VALUE.
func FuzzParseAttributes(f *testing.F) {
	f.Add("connectors=harbor,shared/hub,cluster:mirror\nrepositories.harbor=team/**,a*b\nactions.shared/hub=pull,push")
	f.Add("connector.name=harbor\nconnector.namespace=ci\nconfiguration.names=docker-config,!config.json")
	f.Add("connectors=a\ntoken.expiration=30m\ntoken.minimum=20m\nmount.path=/etc/buildkit\nfile.mode=0440")
	f.Add("conectors=a\n=\nrepositories.=\nfile.mode=7777\nmount.path=//\nactions=")
	f.Fuzz(func(t *testing.T, text string) {
		attributes := map[string]string{}
		for line := range strings.SplitSeq(text, "\n") {
			key, value, _ := strings.Cut(line, "=")
			attributes[key] = value
		}
		got, err := ParseAttributes(attributes, "ci")
		if err != nil {
			for _, mistake := range connector.FieldErrors("", err) {
				if _, given := attributes[mistake.Path]; !given && mistake.Path != "connectors" {
					t.Errorf("mistake at %q, which was not given", mistake.Path)
				}
			}
			if !errors.Is(err, connector.ErrInvalid) {
				t.Errorf("%v is not ErrInvalid", err)
			}
			return
		}
		if len(got.Uses) == 0 || len(got.Uses) > maxConnectors || len(got.Configurations) == 0 {
			t.Errorf("accepted without connectors or configurations: %+v", got)
		}
		seen := map[connector.Ref]bool{}
		for _, use := range got.Uses {
			if seen[use.Ref] {
				t.Errorf("%s is used twice", use.Ref)
			}
			seen[use.Ref] = true
			if again, err := connector.ParseRef(use.Written, "ci"); err != nil || again != use.Ref {
				t.Errorf("%q was read as %s, then as %s, %v", use.Written, use.Ref, again, err)
			}
		}
		if got.FileMode&^0o444 != 0 || got.TTL < 0 || got.MinimumLife < 0 {
			t.Errorf("out of bounds: %+v", got)
		}
	})
}
