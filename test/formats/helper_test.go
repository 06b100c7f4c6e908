package formats

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	helperclient "github.com/docker/docker-credential-helpers/client"
	helpers "github.com/docker/docker-credential-helpers/credentials"
	"github.com/google/go-cmp/cmp"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// helped is what the helper of each volume with docker-helper answers. A host
// without anything is one whose login is emptied.
var helped = map[string]auths{
	"docker-helper": {
		"docker.io":               basic("hubber", "hub"),
		"harbor.example.com:5000": basic("robot$ci", "harbor"),
		"[fd00::1]:5000":          basic("six", "six"),
		"acr.example":             {Identity: "s3cr3t-refresh"},
		"named.example":           {Identity: "s3cr3t-named-refresh"},
		"odd.example":             basic("rö<b>ot", `p:ä&ss "word" \ <>`),
	},
	"docker-helper-globs": {
		"1.dkr.ecr.us-east-1.amazonaws.com": basic("AWS", "ecr"),
		"2.dkr.ecr.eu-west-1.amazonaws.com": basic("AWS", "ecr"),
		"docker.io":                         basic("hubber", "hub"),
		"private.shadow.example":            basic("wide", "wide"),
		"path.example":                      basic("path", "path"),
		"same.example":                      basic("same", "same"),
		"rest.example":                      basic("rest", "rest"),
		"a.whole.example":                   basic("whole", "whole"),
	},
	"docker-helper-rivals": {
		"shared.example": basic("first", "first"), "declared.example": basic("second", "declared"), "own.example": basic("second", "own"),
	},
	"docker-helper-anonymous":       {},
	"docker-helper-emptied":         {"docker.io": basic("later", "hub"), "single.example:5000": {}, "unlisted.example": {}},
	"docker-helper-without-program": {"single.example:5000": basic("single", "single")},
}

// furnish writes a volume to a directory, with the real program, which clients
// find in PATH.
func furnish(t *testing.T, v volume, program string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for path, data := range v {
		mode := os.FileMode(0o444)
		if filepath.Dir(path) == "bin" {
			data, mode = read(t, program), 0o555
		}
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755), os.WriteFile(filepath.Join(dir, path), data, mode))
	}
	return dir
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// buildHelper builds the program as the Makefile does: before isolate, which
// hides Go's cache.
func buildHelper(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "docker-credential-regcred")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-trimpath", "-ldflags", "-s -w -X main.version=v0.0.1", "-o", program, "./cmd/docker-credential-regcred")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// Clients that run helpers get the logins from the program, through
// config.json; nothing in config.json itself is a login.
func TestDockerHelper(t *testing.T) {
	program := buildHelper(t)
	isolate(t)
	all := volumes(t)
	for name, want := range helped {
		t.Run(name, func(t *testing.T) {
			dir := furnish(t, all[name], program)
			config := load(t, all[name]["config.json"])
			if len(config.AuthConfigs) != 0 || len(config.CredentialHelpers) != len(want) {
				t.Errorf("auths %v, helpers %v", config.AuthConfigs, config.CredentialHelpers)
			}
			path := filepath.Join(dir, "bin")
			if name == "docker-helper-without-program" { // the image has it
				path = filepath.Dir(program)
			}
			t.Setenv("PATH", path)
			t.Setenv("DOCKER_CONFIG", dir)
			file := filepath.Join(dir, "config.json")
			readers := map[string]reader{"docker": readDocker, "ggcr": readHelpedGGCR, "oras": readHelpedORAS}
			for client, read := range readers {
				got := make(auths)
				for host := range want {
					got[host] = read(t, file, host)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s understands (-want +got):\n%s", client, diff)
				}
				for _, host := range strangers {
					if _, known := want[host]; !known && read(t, file, host) != (credential{}) {
						t.Errorf("%s has a credential for %s", client, host)
					}
				}
			}
		})
	}
}

func readHelpedORAS(t *testing.T, file, host string) credential {
	t.Helper()
	store, err := credentials.NewStore(file, credentials.StoreOptions{})
	must(t, err)
	auth, err := store.Get(t.Context(), credentials.ServerAddressFromRegistry(host))
	must(t, err)
	return credential{auth.Username, auth.Password, auth.RefreshToken, auth.AccessToken}
}

// readHelpedGGCR is readGGCR: this client leaves the user that stands for
// identity tokens out.
func readHelpedGGCR(t *testing.T, file, host string) credential {
	t.Helper()
	c := readGGCR(t, file, host)
	if c.User == "<token>" {
		c = credential{Identity: c.Password}
	}
	return c
}

// The program against the protocol's own client.
func TestHelperProtocol(t *testing.T) {
	dir := furnish(t, volumes(t)["docker-helper"], buildHelper(t))
	isolate(t)
	before := tree(t, dir)
	program := helperclient.NewShellProgramFunc(filepath.Join(dir, "bin", "docker-credential-regcred"))

	got, err := helperclient.Get(program, "https://index.docker.io/v1/")
	must(t, err)
	if diff := cmp.Diff(&helpers.Credentials{ServerURL: "https://index.docker.io/v1/", Username: "hubber", Secret: "s3cr3t-hub"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := helperclient.Get(program, "stranger.example"); !helpers.IsErrCredentialsNotFound(err) {
		t.Errorf("an unknown host: %v", err)
	}
	if _, err := helperclient.Get(program, ""); err == nil || err.Error() != "error getting credentials - err: no credentials server URL, out: `no credentials server URL`" {
		t.Errorf("no host: %v", err)
	}
	list, err := helperclient.List(program)
	must(t, err)
	want := map[string]string{
		"[fd00::1]:5000": "six", "acr.example": "<token>", "harbor.example.com:5000": "robot$ci", "https://index.docker.io/v1/": "hubber",
		"named.example": "<token>", "odd.example": "rö<b>ot",
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	err = helperclient.Store(program, &helpers.Credentials{ServerURL: "acr.example", Username: "u", Secret: "s"})
	if err == nil || !strings.HasPrefix(err.Error(), "error storing credentials - err: exit status 1, out: `docker-credential-regcred cannot store a login") {
		t.Errorf("store: %v", err)
	}
	err = helperclient.Erase(program, "acr.example")
	if err == nil || err.Error() != "error erasing credentials - err: exit status 1, out: `docker-credential-regcred cannot erase a login: it comes from a volume of csi.regcred.dev and goes with it`" {
		t.Errorf("erase: %v", err)
	}
	out, err := program("version").Output()
	must(t, err)
	if string(out) != "docker-credential-regcred (github.com/regcred/csi-driver-regcred) v0.0.1\n" {
		t.Errorf("version: %q", out)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the volume has changed:\n%s", diff)
	}
}

// The volume is found from the program's own place, or by DOCKER_CONFIG where
// the program lies elsewhere.
func TestHelperFindsItsVolume(t *testing.T) {
	program := buildHelper(t)
	isolate(t)
	a, b := furnish(t, volumes(t)["docker-helper"], program), furnish(t, volumes(t)["docker-helper-rivals"], program)
	link := filepath.Join(t.TempDir(), "docker-credential-regcred")
	must(t, os.Symlink(filepath.Join(a, "bin/docker-credential-regcred"), link))
	for name, test := range map[string]struct{ program, config, host, want string }{
		"beside it":            {filepath.Join(a, "bin/docker-credential-regcred"), "", "acr.example", "<token>"},
		"through a link":       {link, "", "acr.example", "<token>"},
		"by the variable":      {program, a, "acr.example", "<token>"},
		"the variable's first": {filepath.Join(a, "bin/docker-credential-regcred"), b, "own.example", "second"},
		"no volume there":      {filepath.Join(a, "bin/docker-credential-regcred"), t.TempDir(), "acr.example", "<token>"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), test.program, "get")
			cmd.Env, cmd.Stdin = []string{"DOCKER_CONFIG=" + test.config}, strings.NewReader(test.host)
			out, err := cmd.Output()
			if err != nil || !bytes.Contains(out, []byte(`"Username":"`+test.want+`"`)) {
				t.Errorf("%v %s", err, out)
			}
		})
	}
}

// tree is what lies in a directory.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	content := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content[path] = string(read(t, path))
		return nil
	}))
	return content
}
