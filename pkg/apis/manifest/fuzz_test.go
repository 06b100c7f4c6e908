package manifest_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
)

// FuzzTold: a text about an object of another group quotes none of its values,
// and every text is one short line.
func FuzzTold(f *testing.F) {
	const canary = "cAnArY"
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"
	for _, seed := range []string{
		head + "spec: {text: [cAnArY], data: {k: 'cAnArY!'}, pairs: {cAnArY: a, cAnArY: b}, wait: cAnArY, count: cAnArY}", head + "cAnArY: 1", head + "spec: {\"a\\nb\\u202e\": cAnArY}",
		"a: *cAnArY", "a: 'cAnArY", "a: \"\\cAnArY\"", "%cAnArY\n---\na: b", "a: !cAnArY b", "a: !<cAnArY b", "&cAnArY a: *b", "cAnArY: b: c", head + "spec: {? [cAnArY] : a, <<: cAnArY, ~: b}", head + "metadata: {creationTimestamp: cAnArY}",
		"apiVersion: regcred.dev/v1alpha1\nkind: S\nspec: {wait: \"" + strings.Repeat("cAnArY", 1000) + "\", \"" + strings.Repeat("k", 3000) + "\": 1}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		told := func(text string, quoted bool) {
			if len(text) > 2048 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%d bytes that are not fit to be shown: %.300q", len(text), text)
			}
			if strings.Contains(text, canary) && !quoted {
				t.Errorf("a value is told: %s", text)
			}
		}
		objects, err := manifest.Parse(data)
		if err != nil {
			told(err.Error(), false)
			return
		}
		for _, o := range objects {
			for _, m := range o.CheckType() {
				told(m.Error(), false)
			}
			var s sample
			mistakes := o.Decode(&s)
			if len(mistakes) > 51 {
				t.Errorf("%d mistakes", len(mistakes))
			}
			for _, m := range o.InOrder(mistakes) {
				told(m.Error(), strings.HasPrefix(o.APIVersion, "regcred.dev"))
			}
		}
	})
}

// FuzzAgreement: what is read without a mistake is what Kubernetes' own reader
// makes of it, where that one reads it too.
func FuzzAgreement(f *testing.F) {
	for _, seed := range []string{
		"spec: {text: a, enabled: true, list: [b, 'yes', 2020-01-01], pairs: {a: b}, data: {k: aGVsbG8=}, wait: 1s, count: 0x10}", "spec: {count: 010}", "spec: {count: 1_000, text: \"1:30\"}", "spec: {text: 1:30}",
		"spec: {text: ~, list: ~, children: [{text: a}, ~]}", "spec: {text: |\n  a\n  b\n}", "spec: {text: !!str 5, data: {k: !!binary aGVsbG8=}}", "spec: &a {children: []}", "{\"spec\": {\"text\": \"\\u0041\\ud83d\\ude00\"}}", "spec: {text: y, enabled: TRUE}", "spec: {text: '', pairs: {'': ''}}",
		"spec: {text: 0o7, list: [.inf, 1e3, 0b1, +1, 0x_1]}",
	} {
		f.Add([]byte(header + seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifest.Parse(data)
		if err != nil || len(objects) != 1 || strings.HasSuffix(objects[0].Kind, "List") {
			return
		}
		var ours, theirs sample
		if len(objects[0].Decode(&ours)) > 0 || yaml.UnmarshalStrict(data, &theirs) != nil {
			return
		}
		everything(&ours.Spec)
		everything(&theirs.Spec)
		if diff := cmp.Diff(theirs.Spec, ours.Spec); diff != "" {
			t.Errorf("-Kubernetes +regcred:\n%s", diff)
		}
	})
}

// everything leaves out what is let pass unread, and takes empty for absent.
func everything(s *sampleSpec) {
	s.Whatever = nil
	if len(s.List) == 0 {
		s.List = nil
	}
	if len(s.Pairs) == 0 {
		s.Pairs = nil
	}
	if len(s.Data) == 0 {
		s.Data = nil
	}
	for key, value := range s.Data {
		if len(value) == 0 {
			s.Data[key] = nil
		}
	}
	if len(s.Children) == 0 {
		s.Children = nil
	}
	for i := range s.Children {
		everything(&s.Children[i])
	}
}
