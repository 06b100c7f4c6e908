package formats

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goldenDir = "../../pkg/render/testdata"

// volume is the content of one golden case by path, as a pod sees it.
type volume map[string][]byte

// volumes reads all cases. The repository writes colons as %3A.
func volumes(t *testing.T) map[string]volume {
	t.Helper()
	all := make(map[string]volume)
	root := os.DirFS(goldenDir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		name, rest, _ := strings.Cut(path, "/")
		if name == "fuzz" {
			return nil
		}
		if all[name] == nil {
			all[name] = make(volume)
		}
		all[name][strings.ReplaceAll(rest, "%3A", ":")] = data
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no golden files in %s", goldenDir)
	}
	return all
}

// write puts data into a file of its own directory.
func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every file is one that a test of this module reads.
func TestEveryFileHasAReader(t *testing.T) {
	for name, v := range volumes(t) {
		for path := range v {
			if !hasReader(name, path) {
				t.Errorf("%s: nothing here reads %s", name, path)
			}
		}
	}
}

func hasReader(name, path string) bool {
	base := filepath.Base(path)
	switch base {
	case "config.json", ".dockerconfigjson", "daemon.json", "buildkitd.toml", "hosts.toml", "auth.json", "registries.conf", "registry.env", "regcred.json":
		return true
	case "auth", "username", "password", "token", "registry", "expiry":
		return fieldsOfVolume[name] != nil
	case "created", "uuid":
		return name == "fields-token"
	}
	if helped[name] != nil && (strings.HasPrefix(path, ".answers/") || path == "bin/docker-credential-regcred") {
		return true
	}
	return isPEM(path)
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
