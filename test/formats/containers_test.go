package formats

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"go.podman.io/image/v5/docker/reference"
	imageconfig "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
)

// authJSONs is what every auth.json gives for repositories and hosts; nothing
// for those with an empty credential.
var authJSONs = map[string]auths{
	"containers-auth-anonymous": {"open.example": {}, "open.example/team": {}, "open.example/team/app": {}, "a.nowhere.example/x": {}},
	"containers-auth-emptied": {
		"single.example:5000": {}, "single.example:5000/team": {}, "single.example:5000/team/app": {},
		"other.example/x": basic("later", "other"), "other.example:5000/x": {},
	},
	"containers-auth-forms": {
		"docker.io": basic("hubber", "hub"), "docker.io/library/alpine": basic("hubber", "hub"),
		"index.docker.io/library/alpine": basic("hubber", "hub"), "registry-1.docker.io/library/alpine": basic("hubber", "hub"),
		"acr.example/a/b":   {User: "<token>", Identity: "s3cr3t-refresh"},
		"named.example/a":   {User: "00000000-0000-0000-0000-000000000000", Identity: "s3cr3t-named-refresh"},
		"odd.example/a":     basic("rö<b>ot", `p:ä&ss "word" \ <>`),
		"open.example/team": {}, "bearer.example:5000/a": {},
	},
	"containers-auth-globs": {
		"1.dkr.ecr.us-east-1.amazonaws.com/app": basic("AWS", "ecr"), "2.dkr.ecr.eu-west-1.amazonaws.com/app": basic("AWS", "ecr"),
		"3.dkr.ecr.eu-west-1.amazonaws.com/app": {},
		"docker.io/team/app":                    basic("hubber", "hub"), "registry-1.docker.io/team/app": basic("hubber", "hub"),
		"private.shadow.example/app": basic("wide", "wide"), "public.shadow.example/app": {},
		"path.example/team/app": basic("path", "path"), "path.example/team/app/sub": basic("path", "path"),
		"path.example/team": {}, "path.example/team/app-evil": {}, "path.example": {},
		"same.example/team-a/x": basic("same", "same"), "same.example/team-b": basic("same", "same"), "same.example/team-c": {},
		"rest.example/team/app": basic("rest", "rest"), "rest.example/app": {},
		"a.whole.example/team/app": basic("whole", "whole"),
	},
	"containers-auth-hub": {
		"docker.io": basic("hubber", "hub"), "docker.io/other/app": basic("hubber", "hub"),
		"docker.io/library/alpine": {}, "index.docker.io/library/alpine": {}, "registry-1.docker.io/library/alpine": {},
		"docker.io/team/app": basic("team", "team"), "index.docker.io/team/app": basic("team", "team"), "registry-1.docker.io/team/app": basic("team", "team"),
		"docker.io/team-evil/app": basic("hubber", "hub"), "registry-1.docker.io/librarys/app": basic("hubber", "hub"),
	},
	"containers-auth-hub-path": {
		"docker.io": {}, "registry-1.docker.io": {}, "docker.io/team/other": {}, "docker.io/library/alpine": {},
		"docker.io/team/app": basic("team", "team"), "registry-1.docker.io/team/app/sub": basic("team", "team"),
	},
	"containers-auth-paths": {
		"tree.example": basic("root", "root"), "tree.example/x": basic("root", "root"), "tree.example/publicity": basic("root", "root"),
		"tree.example/public": {}, "tree.example/public/x": {}, "tree.example/public/open/x": {},
		"tree.example/public/paid": basic("paid", "paid"), "tree.example/public/paid/x": basic("paid", "paid"),
		"tree.example/team": basic("team", "team"), "tree.example/team/ap": basic("team", "team"), "tree.example/team-evil": basic("root", "root"),
		"tree.example/team/app/x": basic("app", "app"), "tree.example/other": basic("root", "root"), "tree.example:5000/x": {},
		"port.example:5000/team/app": basic("port", "port"), "port.example:5000/team/app/open": {}, "port.example:5000/other": {}, "port.example:5000": {}, "port.example/team/app": {},
		"quiet.example/pub-a": {}, "quiet.example/x": {},
		"idle.example": basic("wide", "wide"), "idle.example/root/x": basic("wide", "wide"), "idle.example/deep/a/x": basic("wide", "wide"),
		"idle.example/team": basic("wide", "wide"), "idle.example/team/app": basic("never", "never"),
		"shut.example/team": {}, "shut.example/x/y": {},
		"literal.example/team/app": basic("literal", "literal"), "literal.example/team": basic("literal", "literal"), "literal.example/x": {},
		"acr.example/team/x": {User: "<token>", Identity: "s3cr3t-refresh"}, "acr.example/x": {},
	},
	"containers-auth-rivals": {
		"shared.example/app": basic("first", "first"), "quiet.example/app": {},
		"declared.example/app": basic("second", "declared"), "own.example/app": basic("second", "own"),
	},
	"containers-both": {
		"docker.io/library/alpine": {}, "cache.example/app": {}, "plain.example:5000/app": {}, "own.example/app": basic("later", "own"),
	},
}

func TestAuthJSON(t *testing.T) {
	isolate(t)
	seen := 0
	for name, v := range volumes(t) {
		data, ok := v["auth.json"]
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			want, ok := authJSONs[name]
			if !ok {
				t.Fatal("say in authJSONs what it means")
			}
			file := write(t, "auth.json", data)
			got := make(auths)
			for repository := range want {
				got[repository] = readImage(t, file, repository)
				checkReference(t, file, repository, got[repository])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for key, entry := range load(t, data).AuthConfigs {
				if entry.RegistryToken != "" || strings.Contains(key, "://") {
					t.Errorf("%s: containers/image reads neither registry tokens nor URLs", key)
				}
			}
		})
	}
	if seen != len(authJSONs) {
		t.Errorf("%d files, %d meanings: a case of authJSONs has gone", seen, len(authJSONs))
	}
}

// checkReference looks a repository up as a pull does.
func checkReference(t *testing.T, file, repository string, want credential) {
	t.Helper()
	if !strings.Contains(repository, "/") {
		return
	}
	named, err := reference.ParseNormalizedNamed(repository)
	if err != nil {
		t.Fatal(err)
	}
	got, err := imageconfig.GetCredentialsForRef(&types.SystemContext{
		AuthFilePath: file, SystemRegistriesConfPath: os.DevNull, SystemRegistriesConfDirPath: t.TempDir(),
	}, named)
	if err != nil {
		t.Fatal(err)
	}
	if (credential{User: got.Username, Password: got.Password, Identity: got.IdentityToken}) != want {
		t.Errorf("%s: as reference %s it gets %v, as a key %v", repository, named, got, want)
	}
}

// section is what a registries.conf says of the images below a host.
type section struct {
	Insecure bool
	Mirrors  []source
}

// source is where an image of the host is pulled from instead.
type source struct {
	Image    string
	Insecure bool
}

// registriesConfs is what every registries.conf means, by host, for the image
// team/app of it.
var registriesConfs = map[string]map[string]section{
	"containers-both": {
		"docker.io": {Mirrors: []source{{"cache.example/team/app", false}}}, "plain.example:5000": {Insecure: true},
	},
	"containers-registries": {
		"both.corp.example": {Insecure: true},
		"docker.io": {Mirrors: []source{
			{"cache.corp.example/team/app", false},
			{"plain.corp.example:8080/team/app", true},
			{"cache.corp.example/dockerhub/team/app", false},
			{"undeclared.example:3128/team/app", true},
		}},
		"lab.corp.example":           {Insecure: true},
		"plain.corp.example:8080":    {Insecure: true},
		"registry.corp.example:5000": {Mirrors: []source{{"cache.corp.example/corp/team/app", false}}},
	},
	"containers-registries-mirrors": {
		"ghcr.io": {Mirrors: []source{
			{"mirror.example/ghcr/team/app", true},
			{"plain.example/team/app", true},
			{"docker.io/ghcr/team/app", false},
			{"undeclared.example:3128/team/app", true},
		}},
		"mirror.example": {Insecure: true},
		"plain.example":  {Insecure: true},
	},
	"containers-registries-plain": {},
	"containers-registries-ports": {
		"lab.example":      {Insecure: true, Mirrors: []source{{"cache.example/lab/team/app", false}}},
		"lab.example:5000": {},
	},
	"containers-registries-rivals": {},
}

func TestRegistriesConf(t *testing.T) {
	isolate(t)
	seen := 0
	for name, v := range volumes(t) {
		data, ok := v["registries.conf"]
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			want, ok := registriesConfs[name]
			if !ok {
				t.Fatal("say in registriesConfs what it means")
			}
			strictRegistries(t, data)
			sys := &types.SystemContext{
				SystemRegistriesConfPath: write(t, "registries.conf", data), SystemRegistriesConfDirPath: t.TempDir(),
			}
			all, err := sysregistriesv2.GetRegistries(sys)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]section)
			for _, r := range all {
				got[r.Prefix] = readSection(t, sys, r.Prefix)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, host := range strangers {
				if r, err := sysregistriesv2.FindRegistry(sys, host+"/team/app"); r != nil || err != nil {
					t.Errorf("%s: %+v, %v", host, r, err)
				}
			}
			if search, err := sysregistriesv2.UnqualifiedSearchRegistries(sys); search != nil || err != nil {
				t.Errorf("unqualified names are searched in %v, %v", search, err)
			}
		})
	}
	if seen != len(registriesConfs) {
		t.Errorf("%d files, %d meanings: a case of registriesConfs has gone", seen, len(registriesConfs))
	}
}

// strictRegistries: containers/image ignores unknown keys; a misspelt one must
// not pass.
func strictRegistries(t *testing.T, data []byte) {
	t.Helper()
	var config sysregistriesv2.V2RegistriesConf
	meta, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&config)
	if err != nil || len(meta.Undecoded()) > 0 {
		t.Errorf("%v, not read: %v", err, meta.Undecoded())
	}
}

// readSection pulls from a host as far as no network is needed. The host
// itself comes last, also for images with one segment.
func readSection(t *testing.T, sys *types.SystemContext, host string) section {
	t.Helper()
	var out section
	for _, image := range []string{"app", "team/app"} {
		named, err := reference.ParseNormalizedNamed(host + "/" + image)
		if err != nil {
			t.Fatal(err)
		}
		r, err := sysregistriesv2.FindRegistry(sys, named.Name())
		if err != nil || r == nil || r.Prefix != host {
			t.Fatalf("%s is served by %+v, %v", named, r, err)
		}
		sources, err := r.PullSourcesFromReference(named)
		if err != nil {
			t.Fatal(err)
		}
		last := sources[len(sources)-1]
		if last.Reference.String() != named.String() || last.Endpoint.Insecure != r.Insecure {
			t.Errorf("%s is not pulled from itself at last: %+v", named, last)
		}
		out = section{Insecure: r.Insecure}
		for _, s := range slices.Delete(sources, len(sources)-1, len(sources)) {
			if domain, _, _ := strings.Cut(s.Endpoint.Location, "/"); reference.Domain(s.Reference) != domain {
				t.Errorf("mirror %s of %s is called at %q", s.Endpoint.Location, host, reference.Domain(s.Reference))
			}
			out.Mirrors = append(out.Mirrors, source{s.Reference.String(), s.Endpoint.Insecure})
		}
	}
	return out
}
