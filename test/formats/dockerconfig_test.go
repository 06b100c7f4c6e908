package formats

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	imageconfig "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credential is what a client gets out of a file.
type credential struct{ User, Password, Identity, Registry string }

// auths are credentials by host, Docker Hub as docker.io.
type auths map[string]credential

const hubKey = "https://index.docker.io/v1/"

func basic(user, password string) credential {
	return credential{User: user, Password: "s3cr3t-" + password}
}

// configs is what every config.json and .dockerconfigjson means.
var configs = map[string]auths{
	"buildx-actions-beside/config.json": {
		"reg.example": basic("reader", "reader"), "pulls.example": basic("reader", "pulls"), "pushes.example": basic("writer", "pushes"),
	},
	"buildx-gap-beside/config.json": {
		"reg.example": basic("pusher", "reg"), "open.example": basic("pusher", "open"), "one.example": basic("one", "one"),
	},
	"docker-config-anonymous/config.json":      {},
	"docker-config-anonymous-path/config.json": {},
	"docker-config-anonymous-glob/config.json": {
		"own.example": basic("own", "own"), "b.lab.example": basic("c", "lab"),
	},
	"docker-config-covered/config.json": {"a.example": basic("a", "a")},
	"docker-config-ends/config.json": {
		"hour.example": basic("hour", "hour"), "month.example": basic("month", "month"), "forever.example": basic("admin", "for-ever"),
	},
	"fields-ends/.dockerconfigjson":             {"a.example": basic("robot", "ends"), "b.example": basic("robot", "ends")},
	"docker-config-emptied-unknown/config.json": {},
	"docker-config-emptied-claims/config.json":  {"docker.io": basic("later", "hub")},
	"docker-config-emptied-glob/config.json": {
		"own.corp.example": basic("before", "own"), "2.ecr.example": basic("later", "ecr"),
	},
	"docker-config-one/config.json": {"harbor.example.com": basic("robot$ci", "harbor")},
	"docker-config-six/config.json": {"[fd00::1]:5000": basic("six", "six")},
	"docker-config-report/config.json": {
		"forever.example": basic("admin", "for-ever"),
		"scoped.example":  {Registry: "s3cr3t-scoped"},
	},
	"anonymous-first/config.json": {"own.example": basic("later", "own")},
	"docker-config-rivals/config.json": {
		"shared.example":   basic("first", "first"),
		"declared.example": basic("second", "declared"),
		"own.example":      basic("second", "own"),
	},
	"docker-config-forms/config.json": {
		"docker.io":           basic("hubber", "hub"),
		"acr.example":         {User: "<token>", Identity: "s3cr3t-refresh"},
		"named.example":       {User: "00000000-0000-0000-0000-000000000000", Identity: "s3cr3t-named-refresh"},
		"bearer.example:5000": {Registry: "s3cr3t-bearer"},
		"odd.example":         basic("rö<b>ot", `p:ä&ss "word" \ <>`),
	},
	"docker-config-globs/config.json": {
		"1.dkr.ecr.us-east-1.amazonaws.com": basic("AWS", "ecr"),
		"2.dkr.ecr.eu-west-1.amazonaws.com": basic("AWS", "ecr"),
		"docker.io":                         basic("hubber", "hub"),
		"private.shadow.example":            basic("wide", "wide"),
		"path.example":                      basic("path", "path"),
		"same.example":                      basic("same", "same"),
		"rest.example":                      basic("rest", "rest"),
		"a.whole.example":                   basic("whole", "whole"),
	},
	"everything/config.json":                      {"single.example:5000": basic("single", "single")},
	"everything/.dockerconfigjson":                {"single.example:5000": basic("single", "single")},
	"excluded/config.json":                        {"single.example:5000": basic("single", "single")},
	"excluded/.dockerconfigjson":                  {"single.example:5000": basic("single", "single")},
	"everything-emptied/config.json":              {},
	"everything-emptied/single/.dockerconfigjson": {},
	"everything-emptied/later/.dockerconfigjson": {
		"single.example:5000": basic("later", "later"),
		"docker.io":           basic("later", "later"),
	},
	"fields-one/.dockerconfigjson":        {"harbor.example.com": basic("robot$ci", "harbor")},
	"fields-static/.dockerconfigjson":     {"forever.example": basic("admin", "for-ever")},
	"fields-token/.dockerconfigjson":      {"scoped.example": {Registry: "s3cr3t-scoped"}},
	"fields-beside/config.json":           {"reg.example": basic("c", "c")},
	"fields-beside/c/.dockerconfigjson":   {"reg.example": basic("c", "c")},
	"fields-beside/d/.dockerconfigjson":   {"reg.example": basic("d", "d")},
	"fields-shadowed/config.json":         {},
	"fields-shadowed/.dockerconfigjson":   {},
	"fields-precedence/.dockerconfigjson": {"reg.example": basic("a", "a")},
	"fields-hosts/.dockerconfigjson": {
		"1.dkr.ecr.us-east-1.amazonaws.com": basic("AWS", "ecr"),
		"2.dkr.ecr.eu-west-1.amazonaws.com": basic("AWS", "ecr"),
	},
	"fields-several/harbor/.dockerconfigjson":     {"harbor.example.com": basic("robot", "harbor")},
	"fields-several/gone/.dockerconfigjson":       {},
	"fields-several/team-a_x/.dockerconfigjson":   {"harbor.example.com": basic("other", "other")},
	"fields-several/cluster__y/.dockerconfigjson": {"acr.example": {User: "<token>", Identity: "s3cr3t-refresh"}},
}

// Hosts that no case has a credential for.
var strangers = []string{"stranger.example", "harbor.example.com:5000", "quiet.example", "open.example", "public.shadow.example"}

// reader looks one host up as one client does.
type reader func(t *testing.T, file, host string) credential

var readers = map[string]reader{
	"docker":           readDocker,
	"containers image": readImage,
	"oras":             readORAS,
	"ggcr":             readGGCR,
}

func TestConfigJSON(t *testing.T) {
	isolate(t)
	seen := 0
	for name, v := range volumes(t) {
		for path, data := range v {
			if base := filepath.Base(path); base != "config.json" && base != ".dockerconfigjson" || strings.HasPrefix(path, "config/") {
				continue // those of buildx are read in test/buildx
			}
			if helped[name] != nil {
				continue // TestDockerHelper reads it
			}
			seen++
			id := name + "/" + path
			want, ok := configs[id]
			if !ok {
				t.Errorf("%s: say in configs what it means", id)
				continue
			}
			file := write(t, "config.json", data)
			for client, read := range readers {
				t.Run(id+"/"+client, func(t *testing.T) {
					got := make(auths)
					for host := range want {
						got[host] = read(t, file, host)
					}
					if diff := cmp.Diff(understood(client, want), got); diff != "" {
						t.Errorf("%s understands (-want +got):\n%s", client, diff)
					}
					for _, host := range strangers {
						if _, known := want[host]; !known && read(t, file, host) != (credential{}) {
							t.Errorf("%s has a credential for %s", client, host)
						}
					}
				})
			}
			t.Run(id+"/hosts", func(t *testing.T) {
				if got := hostsOf(t, data); len(got) != len(want) {
					t.Errorf("entries %v, want %d", got, len(want))
				}
			})
		}
	}
	if seen != len(configs) {
		t.Errorf("%d files, %d meanings: a case of configs has gone", seen, len(configs))
	}
}

// understood is want as a client can tell it: containers/image knows no
// registry token and finds nothing under such an entry.
func understood(client string, want auths) auths {
	out := make(auths)
	for host, c := range want {
		if client == "containers image" {
			c.Registry = ""
		}
		out[host] = c
	}
	return out
}

// isolate keeps the machine's own files and variables out.
func isolate(t *testing.T) {
	t.Helper()
	empty := t.TempDir()
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"} {
		t.Setenv(name, empty)
	}
	for _, name := range []string{"DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE"} {
		t.Setenv(name, "")
	}
}

func load(t *testing.T, data []byte) *configfile.ConfigFile {
	t.Helper()
	config := configfile.New("config.json")
	if err := config.LoadFromReader(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return config
}

func hostsOf(t *testing.T, data []byte) []string {
	t.Helper()
	var hosts []string
	for host := range load(t, data).AuthConfigs {
		if strings.Contains(host, "/") && host != hubKey {
			t.Errorf("path key %s", host)
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// docker asks for Docker Hub under its old index address.
func dockerName(host string) string {
	if host == "docker.io" {
		return hubKey
	}
	return host
}

func readDocker(t *testing.T, file, host string) credential {
	t.Helper()
	auth, err := load(t, read(t, file)).GetAuthConfig(dockerName(host))
	if err != nil {
		t.Fatal(err)
	}
	return credential{auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken}
}

// readImage reads the file both ways that skopeo and podman have for it, as
// REGISTRY_AUTH_FILE and as docker's own; they must agree.
func readImage(t *testing.T, file, host string) credential {
	t.Helper()
	var found []credential
	for _, sys := range []*types.SystemContext{{AuthFilePath: file}, {DockerCompatAuthFilePath: file}} {
		sys.SystemRegistriesConfPath = "/dev/null"
		sys.SystemRegistriesConfDirPath = t.TempDir()
		auth, err := imageconfig.GetCredentials(sys, host)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, credential{User: auth.Username, Password: auth.Password, Identity: auth.IdentityToken})
	}
	if found[0] != found[1] {
		t.Errorf("%s: as auth file %v, as docker's file %v", host, found[0], found[1])
	}
	return found[0]
}

func readORAS(t *testing.T, file, host string) credential {
	t.Helper()
	store, err := credentials.NewFileStore(file)
	if err != nil {
		t.Fatal(err)
	}
	auth, err := store.Get(t.Context(), credentials.ServerAddressFromRegistry(host))
	if err != nil {
		t.Fatal(err)
	}
	return credential{auth.Username, auth.Password, auth.RefreshToken, auth.AccessToken}
}

// resource is a repository as go-containerregistry names it.
type resource struct{ registry string }

func (r resource) String() string      { return r.registry + "/team/app" }
func (r resource) RegistryStr() string { return r.registry }

func readGGCR(t *testing.T, file, host string) credential {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", filepath.Dir(file))
	if host == "docker.io" {
		host = "index.docker.io"
	}
	authenticator, err := authn.DefaultKeychain.Resolve(resource{host})
	if err != nil {
		t.Fatal(err)
	}
	auth, err := authenticator.Authorization()
	if err != nil {
		t.Fatal(err)
	}
	return credential{auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken}
}
