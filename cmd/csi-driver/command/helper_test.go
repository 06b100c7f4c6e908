package command

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A plain directory gets the program too, for its owner to execute.
func TestRenderBringsTheHelper(t *testing.T) {
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	args := []string{
		"render", "--connectors-dir", "testdata/manifests", "--namespace", "ci", "--connectors", "corp",
		"--configuration", "docker-helper", "--out", out, "--credential-helper",
	}

	missing := filepath.Join(t.TempDir(), "none")
	got := run(t, program(), append(args, missing)...)
	want := "csi-driver: bin/docker-credential-regcred: open " + missing + ": no such file or directory: build it beside csi-driver, or name it by --credential-helper\n"
	if got.code != exitFailed || got.stderr != want {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}

	got = run(t, program(), append(args, file)...)
	if rest := warned(t, out, got.stderr); got.code != exitGood || rest != "" {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(map[string]string{"docker-credential-regcred": "-rwx------"}, modes(t, filepath.Join(out, "bin"))); diff != "" {
		t.Error(diff)
	}
	text, err := os.ReadFile(filepath.Join(out, "bin", "docker-credential-regcred"))
	if err != nil || string(text) != "#!/bin/true\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// Without the flag the program lies beside this one.
func TestHelperBesideTheDriver(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var h helper
	if got, want := h.file(), filepath.Join(filepath.Dir(self), "docker-credential-regcred"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
