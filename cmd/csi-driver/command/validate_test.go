package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestValidate(t *testing.T) {
	got := run(t, program(), "validate", "testdata/mistakes")
	golden(t, "validate.golden", got.stdout)
	if got.code != exitFailed || got.stderr != "" {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
	}
	empty := t.TempDir()
	comment := filepath.Join(t.TempDir(), "comment.yaml")
	if err := os.WriteFile(comment, []byte("# a.yaml is off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		args []string
		want outcome
	}{
		{"no mistakes", []string{"testdata/manifests/corp.yaml"}, outcome{exitGood, "2 objects in 1 file, no mistakes\n", ""}},
		{"a Secret elsewhere", []string{"testdata/manifests"}, outcome{exitGood, "warning: testdata/manifests/hub.yaml:16 (document 3): Connector other/foreign: spec.issuer.secret: " +
			"Secret \"foreign\" does not exist in the Connector's namespace; it may be in files that were not read\n5 objects in 2 files, no mistakes, 1 warning\n", ""}},
		{"missing file", []string{"testdata/none.yaml"}, outcome{exitFailed, "testdata/none.yaml: no such file or directory\n0 objects in 0 files, 1 mistake\n", ""}},
		{"no manifest", []string{empty}, outcome{exitFailed, empty + ": holds no manifest: name a directory with files *.yaml, *.yml or *.json that do not begin with a dot, or the files themselves\n0 objects in 0 files, 1 mistake\n", ""}},
		{"no object", []string{comment}, outcome{exitFailed, "", "csi-driver: validate: the files hold no object: nothing was checked\n"}},
		{"nothing named", nil, outcome{exitUsage, "", "csi-driver: validate: name the files or directories to read\nRun 'csi-driver validate --help' for usage.\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, program(), append([]string{"validate"}, tc.args...)...); got != tc.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
