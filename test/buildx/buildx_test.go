package buildx

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/docker/buildx/util/dockerutil/dockerconfig"
	dockercli "github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/google/go-cmp/cmp"
)

const (
	golden = "../../pkg/render/testdata"
	hubKey = "https://index.docker.io/v1/"
)

// credential is what buildx gets out of a file.
type credential struct{ User, Password, Identity, Registry string }

func basic(user, password string) credential {
	return credential{User: user, Password: "s3cr3t-" + password}
}

// byDefault stands in $DOCKER_CONFIG/config.json, which counts where no
// directory fits.
var byDefault = credential{User: "default", Password: "default"}

// question is what BuildKit asks its client: host, repository and actions; the
// host alone for basic authentication.
type question = string

// answers are those of buildx in every volume of the configuration.
var answers = map[string]map[question]credential{
	"buildx-forms": {
		"registry-1.docker.io library/busybox pull": basic("hubber", "hub"),
		"acr.example team/app pull":                 {User: "<token>", Identity: "s3cr3t-refresh"},
		"named.example team/app pull,push":          {User: "00000000-0000-0000-0000-000000000000", Identity: "s3cr3t-named-refresh"},
		"bearer.example:5000 team/app pull":         {Registry: "s3cr3t-bearer"},
		"odd.example a pull":                        basic("rö<b>ot", `p:ä&ss "word" \ <>`),
		"open.example a pull":                       byDefault,
		"[fd00::1]:5000 a pull,push":                basic("six", "six"),
	},
	"buildx-globs": {
		"registry-1.docker.io library/busybox pull": basic("hubber", "hub"),
		"private.shadow.example a pull":             basic("wide", "wide"),
		"public.shadow.example a pull":              byDefault,
	},
	"buildx-actions": {
		"reg.example team/app pull":         basic("reader", "reader"),
		"reg.example team/app pull,push":    basic("writer", "writer"),
		"pulls.example team/app pull":       basic("reader", "pulls"),
		"pulls.example team/app pull,push":  {},
		"pushes.example team/app pull":      basic("writer", "pushes"),
		"pushes.example team/app pull,push": basic("writer", "pushes"),
		"reg.example":                       byDefault, // no repository: basic authentication
	},
	"buildx-actions-lost": {
		"reg.example team/app pull":      basic("writer", "writer"),
		"reg.example team/app pull,push": basic("writer", "writer"),
		"pulls.example team/app pull":    basic("reader", "pulls"),
	},
	"buildx-actions-beside": {
		"reg.example team/app pull":      basic("reader", "reader"),
		"reg.example team/app pull,push": basic("writer", "writer"),
	},
	"buildx-actions-emptied": {
		"reg.example team/app pull":      {},
		"reg.example team/app pull,push": basic("writer", "writer"),
		"pulls.example team/app pull":    byDefault,
	},
	"buildx-gap-beside": {
		"reg.example team/app pull":       {},
		"reg.example team/app pull,push":  basic("pusher", "reg"),
		"open.example team/app pull":      {},
		"open.example team/app pull,push": basic("pusher", "open"),
		"one.example team/app pull":       {},
		"one.example team/app pull,push":  basic("one", "one"),
		"one.example other pull":          {},
	},
	"buildx-paths": {
		"reg.example team/app pull":                      basic("app", "app"),
		"reg.example team/app pull,push":                 basic("app", "app"),
		"reg.example public pull":                        {},
		"reg.example same pull":                          basic("rest", "rest"),
		"reg.example other pull,push":                    basic("rest", "rest"),
		"registry-1.docker.io library/busybox pull":      basic("hub", "hub"),
		"registry-1.docker.io library/alpine pull":       byDefault,
		"registry-1.docker.io library/busybox-evil pull": byDefault,
	},
	"buildx-repositories": {
		"scoped.example team/app pull":            {Registry: "s3cr3t-scoped"},
		"scoped.example team/app pull,push":       basic("writer", "writer"),
		"scoped.example team/base pull":           byDefault,
		"scoped.example team/base pull,push":      basic("writer", "writer"),
		"registry-1.docker.io team/app pull":      {Registry: "s3cr3t-hub"},
		"registry-1.docker.io team/app pull,push": {},
		"registry-1.docker.io library/x pull":     byDefault,
	},
	"buildx-excluded": {
		"reg.example team/app pull":      byDefault,
		"reg.example team/app pull,push": basic("writer", "writer"),
	},
}

// TestBuildxScoped asks buildx, whose directory is made by the command in the
// documentation.
func TestBuildxScoped(t *testing.T) {
	for name, want := range answers {
		t.Run(name, func(t *testing.T) {
			mounted := t.TempDir()
			generation(t, mounted, "..gen-1", name)
			follow(t, mounted)
			got := make(map[question]credential)
			for q := range want {
				got[q] = ask(t, q)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	cases, err := filepath.Glob(filepath.Join(golden, "buildx-*"))
	if err != nil || len(cases) != len(answers) {
		t.Errorf("%d volumes, %d meanings: say in answers what each means (%v)", len(cases), len(answers), err)
	}
}

// What buildx was given once follows the volume.
func TestRotation(t *testing.T) {
	const q = "reg.example team/app pull,push"
	mounted := t.TempDir()
	generation(t, mounted, "..gen-1", "buildx-actions")
	follow(t, mounted)
	if got := ask(t, q); got != basic("writer", "writer") {
		t.Fatalf("at first %v", got)
	}
	generation(t, mounted, "..gen-2", "buildx-actions")
	file := filepath.Join(mounted, "config/reg.example@pull,push/config.json")
	if err := os.WriteFile(file, []byte(`{"auths":{"reg.example":{"auth":"bmV3Om5ldw=="}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, q); got != (credential{User: "new", Password: "new"}) {
		t.Errorf("after the rotation %v", got)
	}
}

// generation shows a golden volume in a directory as the driver does: by links
// that one rename switches.
func generation(t *testing.T, mounted, generation, name string) {
	t.Helper()
	volume := filepath.Join(golden, name)
	err := fs.WalkDir(os.DirFS(volume), ".", func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(mounted, generation, strings.ReplaceAll(path, "%3A", ":")) // the repository holds no colons
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(target, 0o755))
		}
		data, err := os.ReadFile(filepath.Join(volume, path))
		return errors.Join(err, os.WriteFile(target, data, 0o600))
	})
	next := filepath.Join(mounted, "..data-next")
	err = errors.Join(err, os.Symlink(generation, next), os.Rename(next, filepath.Join(mounted, "..data")))
	if _, missing := os.Lstat(filepath.Join(mounted, "config")); missing != nil {
		err = errors.Join(err, os.Symlink("..data/config", filepath.Join(mounted, "config")))
	}
	if err != nil {
		t.Fatal(err)
	}
}

var command = regexp.MustCompile("(?m)^mkdir -p \"\\$BUILDX_CONFIG/config\" .*$")

// follow runs the command of the documentation for a volume.
func follow(t *testing.T, mounted string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/configurations.md")
	if err != nil {
		t.Fatal(err)
	}
	line := command.FindString(string(page))
	if line == "" {
		t.Fatal("docs/configurations.md no longer says how buildx gets its directory")
	}
	t.Setenv("BUILDX_CONFIG", t.TempDir())
	run := exec.CommandContext(t.Context(), "sh", "-euc", strings.ReplaceAll(line, "/registry/", mounted+"/"))
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// cli is as much of docker's command line as buildx asks for its files.
type cli struct {
	dockercli.Cli
	config *configfile.ConfigFile
}

func (c cli) ConfigFile() *configfile.ConfigFile { return c.config }

func ask(t *testing.T, q question) credential {
	t.Helper()
	parts := strings.Split(q, " ")
	host, key := parts[0], parts[0]
	if host == "registry-1.docker.io" {
		key = hubKey
	}
	fallback := configfile.New(filepath.Join(t.TempDir(), "config.json"))
	text := `{"auths":{"` + key + `":{"auth":"ZGVmYXVsdDpkZWZhdWx0"}}}`
	if err := fallback.LoadFromReader(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	var scopes []string
	if len(parts) > 1 {
		scopes = []string{"repository:" + parts[1] + ":" + parts[2]}
	}
	auth, err := dockerconfig.LoadAuthConfig(cli{config: fallback})(t.Context(), host, scopes, nil)
	if err != nil {
		t.Fatal(err)
	}
	return credential{auth.Username, auth.Password, auth.IdentityToken, auth.RegistryToken}
}
