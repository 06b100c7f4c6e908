package command

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// canary begins every password of testdata.
const canary = "cAnArY"

// outcome is what a command line gives.
type outcome struct {
	code           int
	stdout, stderr string
}

func run(t *testing.T, p Program, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := p.Run(t.Context(), args, &stdout, &stderr)
	if all := stdout.String() + stderr.String(); strings.Contains(all, canary) {
		t.Errorf("a secret is printed:\n%s", all)
	}
	return outcome{code, stdout.String(), stderr.String()}
}

func program() Program { return Program{Version: "test", Issuers: builtin.Definitions()} }

// golden compares text with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update when the change is meant (-want +got):\n%s", diff)
	}
}
