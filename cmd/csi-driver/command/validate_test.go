package command

import "testing"

func TestValidate(t *testing.T) {
	got := run(t, program(), "validate", "testdata/mistakes")
	golden(t, "validate.golden", got.stdout)
	if got.code != exitFailed || got.stderr != "" {
		t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
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
		{"nothing named", nil, outcome{exitUsage, "", "csi-driver: validate: name the files or directories to read\nRun 'csi-driver --help' for usage.\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := run(t, program(), append([]string{"validate"}, tc.args...)...); got != tc.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
