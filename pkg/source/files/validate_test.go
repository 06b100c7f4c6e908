package files_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

func TestValidate(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"))
	tr.write("sub/b.yaml", conn("a", "b.example.com"), conn("c", "no host"))
	tr.write("sub/deeper/d.yaml", conn("d", "d.example.com"))
	tr.write("notes.txt", conn("d", "no host"))
	tr.write("nameless.txt",
		"apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: A_b}\nspec: {adress: reg.io, issuer: {secret: {name: A_b}}}\n",
		"apiVersion: v1\nkind: Secret\nmetadata: {nam: s, namespace: ci}\ndata: {password: \"%\"}\n",
		"apiVersion: regcred.dev/v1\nkind: Secret\nmetadata: {name: s}\nhunter2: x\n")
	tr.write("twice.txt", conn("a", "a.example.com"), conn("a", "b.example.com"), strings.Replace(conn("b", "c.example.com"), "Connector", "Conector", 1))
	tr.write("nothing/.hidden.yaml", conn("d", "no host"))
	tr.write("nothing/notes.md", "text")
	opts := v1alpha1.Options{Issuers: builtin.Definitions()}
	tests := map[string]struct {
		paths, want []string
	}{
		"good file": {[]string{"a.yaml"}, nil},
		"directory": {[]string{"."}, []string{
			"sub/b.yaml:1: Connector ci/a: the object is also in DIR/a.yaml:1, which counts: keep one",
			`sub/b.yaml:12 (document 2): Connector ci/c: spec.address: registry host "no host": write host or host:port, without scheme, path or user`,
			"sub/deeper: manifests are read from the directory and one level below, not from here: move them up",
		}},
		"one object twice in a file, and no kind": {[]string{"twice.txt"}, []string{
			"twice.txt:8 (document 2): Connector ci/a: the object is also in DIR/twice.txt:1, which counts: keep one",
			"twice.txt:16 (document 3): kind: Conector is not read here; did you mean \"Connector\"?",
		}},
		"directory without a manifest": {[]string{"nothing", "a.yaml"}, []string{
			"nothing: holds no manifest: name a directory with files *.yaml, *.yml or *.json that do not begin with a dot, or the files themselves",
		}},
		"metadata does not hide the rest": {[]string{"nameless.txt"}, []string{
			"nameless.txt:3: Connector: metadata.name: is missing or no name: write lower-case letters, digits, dashes and dots, at most 253",
			"nameless.txt:3: Connector: metadata.namespace: is missing or no namespace: write lower-case letters, digits and dashes, at most 63",
			`nameless.txt:4: Connector: spec.adress: unknown field; did you mean address?`,
			`nameless.txt:4: Connector: spec.issuer.secret.name: "A_b" is not the name of a Secret`,
			"nameless.txt:8 (document 2): Secret: metadata.nam: unknown field; did you mean name?",
			"nameless.txt:9 (document 2): Secret: data[password]: is not base64: encode it, or use the field for plain text",
			"nameless.txt:11 (document 3): Secret: apiVersion: write v1 for a Secret",
		}},
		"file of any name, and none": {[]string{"notes.txt", "missing.yaml"}, []string{
			"missing.yaml: no such file or directory",
			`notes.txt:5: Connector ci/d: spec.address: registry host "no host": write host or host:port, without scheme, path or user`,
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			paths := make([]string, len(tt.paths))
			for i, p := range tt.paths {
				paths[i] = filepath.Join(tr.dir, p)
			}
			var got []string
			for _, p := range files.Validate(opts, paths...).Problems {
				text := strings.TrimPrefix(p.String(), tr.dir+"/")
				got = append(got, strings.ReplaceAll(text, tr.dir, "DIR"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidateCountsAndLocates(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"), conn("b", "no host"), conn("c", "c.example.com"))
	tr.write("b.yaml", conn("a", "twice.example.com"), secretManifest("s", "x"), "kind: Unknown\n")
	checked := files.Validate(v1alpha1.Options{Issuers: builtin.Definitions()}, tr.dir)
	type place struct {
		Name, File     string
		Document, Line int
	}
	var got []place
	for _, c := range checked.Connectors {
		got = append(got, place{c.Ref.String(), filepath.Base(c.File), c.Document, c.Line})
	}
	if diff := cmp.Diff([]place{{"ci/a", "a.yaml", 1, 1}, {"ci/c", "a.yaml", 3, 15}}, got); diff != "" {
		t.Error(diff)
	}
	if checked.Files != 2 || checked.Objects != 6 || len(checked.Problems) != 3 {
		t.Errorf("%d files, %d objects, problems %v", checked.Files, checked.Objects, checked.Problems)
	}
	if _, err := checked.Source.Object(t.Context(), connector.KindSecret, "ci", "s"); err != nil {
		t.Error(err)
	}
	if p := checked.Connectors[1].Problem(connector.ErrNotFound); p.String() != filepath.Join(tr.dir, "a.yaml")+":15 (document 3): Connector ci/c: not found" {
		t.Error(p)
	}
}
