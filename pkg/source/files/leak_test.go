package files_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

const canary = "cAnArY0f1eLd"

// brokenSecrets are Secrets with every kind of mistake around their values.
func brokenSecrets() map[string]string {
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ci}\n"
	return map[string]string{
		"bad base64":        head + "data: {password: " + canary + "!}\n",
		"plain in data":     head + "data:\n  password: " + canary + "-\n",
		"list":              head + "stringData: {password: [" + canary + "]}\n",
		"nested":            head + "stringData: {password: {" + canary + ": " + canary + "}}\n",
		"not a map":         head + "stringData: " + canary + "\n",
		"unknown field":     head + canary + ": " + canary + "\n",
		"typo":              head + "strngData: {password: " + canary + "}\n",
		"bad key":           head + "stringData: {\"" + canary + " \": x}\n",
		"key twice":         head + "stringData: {" + canary + ": a, " + canary + ": b}\n",
		"alias":             head + "stringData: {password: *" + canary + "}\n",
		"anchor":            head + "stringData: {password: &" + canary + " }\n  - x",
		"tag":               head + "stringData: {password: !" + canary + " x}\n",
		"bad tag":           head + "stringData: {password: !<" + canary + " x}\n",
		"escape":            head + "stringData: {password: \"\\" + canary + "\"}\n",
		"open quote":        head + "stringData: {password: '" + canary + "}\n",
		"colon":             head + "stringData:\n  password: " + canary + ": x\n",
		"tab":               head + "stringData:\n\tpassword: " + canary + "\n",
		"slipped":           head + "stringData:\n  config: |\n  " + canary + "\n" + canary + "\n",
		"slipped object":    head + "stringData:\n  config: |\n{\"auths\": \"" + canary + "\"}\n",
		"time":              head + "  creationTimestamp: " + canary + "\n",
		"metadata":          strings.Replace(head, "name: s", "name: s, creationTimestamp: "+canary+", uid: ["+canary+"]", 1),
		"name":              strings.Replace(head, "name: s", "name: "+canary+"_", 1) + "stringData: {a: " + canary + "}\n",
		"namespace":         strings.Replace(head, "namespace: ci", "namespace: "+canary+"_", 1),
		"kind":              strings.Replace(head, "kind: Secret", "kind: Secret "+canary, 1) + "stringData: {a: " + canary + "}\n",
		"version":           strings.Replace(head, "v1", canary, 1) + "stringData: {a: " + canary + "}\n",
		"merge":             head + "stringData:\n  <<: " + canary + "\n",
		"bool":              head + "immutable: " + canary + "\n",
		"no object":         canary + "\n",
		"null byte":         head + "stringData: {password: \"" + canary + "\x00\"}\n",
		"not UTF-8":         head + "stringData: {password: \"" + canary + "\xff\"}\n",
		"directive":         "%" + canary + "\n---\n" + head,
		"list of no object": "apiVersion: v1\nkind: SecretList\nitems: [" + canary + "]\n",
	}
}

// TestNoSecretInAnyText also shows that each of these Secrets is reported.
func TestNoSecretInAnyText(t *testing.T) {
	for name, text := range brokenSecrets() {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.write("a.yaml", text)
			var log bytes.Buffer
			logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(10)))
			if err := tr.source.Load(klog.NewContext(t.Context(), logger)); err != nil {
				t.Fatal(err)
			}
			problems := tr.source.Problems()
			if len(problems) == 0 {
				t.Error("nothing is reported")
			}
			texts := []string{log.String()}
			for _, p := range problems {
				texts = append(texts, p.String())
			}
			for _, p := range files.Validate(v1alpha1.Options{Issuers: builtin.Definitions()}, tr.dir).Problems {
				texts = append(texts, p.String())
			}
			if _, err := tr.source.Object(t.Context(), connector.KindSecret, "ci", "s"); err != nil {
				texts = append(texts, err.Error())
			}
			if all := strings.Join(texts, "\n"); strings.Contains(strings.ToLower(all), strings.ToLower(canary)) {
				t.Errorf("the secret is told:\n%s", all)
			}
		})
	}
}

func TestProblemsAreLoggedOncePerChange(t *testing.T) {
	tr := newTree(t)
	var log bytes.Buffer
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log)))
	ctx := klog.NewContext(t.Context(), logger)
	load := func(want int) {
		t.Helper()
		log.Reset()
		if err := tr.source.Load(ctx); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(log.String(), "\n"); got != want {
			t.Errorf("%d lines, want %d:\n%s", got, want, log.String())
		}
	}
	tr.write("a.yaml", conn("a", "no host"))
	load(1)
	load(0)
	tr.write("b.yaml", conn("b", "no host"))
	load(1)
	tr.write("a.yaml", conn("a", "still no host"))
	load(1)
	tr.write("s.yaml", secretManifest("s", "x"))
	load(0)
	if err := os.Chmod(filepath.Join(tr.dir, "s.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	load(1)
	load(0)
}
