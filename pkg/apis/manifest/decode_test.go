package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

type sample struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              sampleSpec `json:"spec"`
}

type sampleSpec struct {
	Text     string              `json:"text"`
	Count    int32               `json:"count"`
	Enabled  bool                `json:"enabled"`
	List     []string            `json:"list"`
	Pairs    map[string]string   `json:"pairs"`
	Data     map[string][]byte   `json:"data"`
	Wait     *connector.Duration `json:"wait"`
	Children []sampleSpec        `json:"children"`
	Whatever any                 `json:"whatever"`
}

const header = "apiVersion: regcred.dev/v1alpha1\nkind: Sample\nmetadata: {name: x}\n" // three lines

func decodeOne(t *testing.T, text string) (*manifest.Object, sample, []string) {
	t.Helper()
	objects, err := manifest.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 1 {
		t.Fatalf("%d objects, want 1", len(objects))
	}
	var s sample
	var lines []string
	for _, m := range objects[0].Decode(&s) {
		lines = append(lines, fmt.Sprintf("%d: %v", objects[0].Line(m.Path), m))
	}
	return objects[0], s, lines
}

func TestDecode(t *testing.T) {
	_, s, mistakes := decodeOne(t, header+`spec:
  text: "5"
  count: 0x10
  enabled: true
  list: &shared [a, "yes", 2020-01-01]
  pairs: {a/b: c, 5: five}
  data: {k: aGVsbG8=}
  wait: 1h30m
  whatever: {x: [1, {y: z}]}
  children:
  - list: *shared
  - ~
`)
	if mistakes != nil {
		t.Errorf("mistakes: %q", mistakes)
	}
	list := []string{"a", "yes", "2020-01-01"}
	want := sampleSpec{
		Text: "5", Count: 16, Enabled: true, List: list, Pairs: map[string]string{"a/b": "c", "5": "five"},
		Data: map[string][]byte{"k": []byte("hello")}, Wait: &connector.Duration{Duration: 90 * time.Minute},
		Children: []sampleSpec{{List: list}, {}},
	}
	if diff := cmp.Diff(want, s.Spec); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeReportsEveryMistake(t *testing.T) {
	_, s, mistakes := decodeOne(t, header+`spec:
  txet: typo
  surprise: field
  text: 5
  count: 3000000000
  enabled: yes
  list: {}
  pairs:
    a: b
    c: [d]
    a: e
  data: {k: "%%%", l: 7}
  wait: soon
  children:
  - text: no
  - list: [1, ok, {a: b}]
    <<: {text: a}
  - just text
status: {}
`)
	want := []string{
		`5: spec.txet: unknown field; did you mean text?`,
		`6: spec.surprise: unknown field; known are children, count, data, enabled, list, pairs, text, wait, whatever`,
		`7: spec.text: is a number: put it in quotes`,
		`8: spec.count: is a number: write a whole number within its range`,
		`9: spec.enabled: is text: write true or false`,
		`10: spec.list: is an object: write a list`,
		`13: spec.pairs[c]: is a list: write text`,
		`12: spec.pairs[a]: comes twice, in lines 12 and 14: keep one`,
		`15: spec.data[k]: is not base64: encode it, or use the field for plain text`,
		`15: spec.data[l]: is a number: write text in base64`,
		`16: spec.wait: duration "soon": write, for example, "90s" or "1h30m"`,
		`18: spec.children[0].text: is read as true or false by other tools: put it in quotes`,
		`19: spec.children[1].list[0]: is a number: put it in quotes`,
		`19: spec.children[1].list[2]: is an object: write text`,
		`19: spec.children[1]: line 20: merge keys (<<) are not read here: write the fields out`,
		`21: spec.children[2]: is text: write an object`,
		`22: status: unknown field; known are apiVersion, kind, metadata, spec`,
	}
	if diff := cmp.Diff(want, mistakes); diff != "" {
		t.Error(diff)
	}
	if s.Spec.Pairs["a"] != "b" || s.Spec.Children[1].List[1] != "ok" {
		t.Errorf("fields without a mistake are not set: %+v", s.Spec)
	}
}

func TestDecodeQuotesNothingOfOtherGroups(t *testing.T) {
	const canary = "cAnArY"
	_, _, mistakes := decodeOne(t, strings.ReplaceAll(`apiVersion: v1
kind: Secret
metadata:
  name: x
  creationTimestamp: CANARY
spec:
  CANARY: 1
  text: [CANARY]
  txt: CANARY
  enabled: CANARY
  count: CANARY
  data: {k: "CANARY!"}
  pairs: {CANARY: a, CANARY: b}
  wait: CANARY
`, "CANARY", canary))
	want := []string{
		`5: metadata.creationTimestamp: is not a valid value for this field`,
		`6: spec: line 7 holds an unknown field`,
		`8: spec.text: is a list: write text`,
		`9: spec.txt: unknown field; did you mean text?`,
		`10: spec.enabled: is text: write true or false`,
		`11: spec.count: is text: write a whole number within its range`,
		`12: spec.data[k]: is not base64: encode it, or use the field for plain text`,
		`13: spec.pairs: a key of line 13 comes again in line 13: keep one`,
		`14: spec.wait: is not a valid value for this field`,
	}
	if diff := cmp.Diff(want, mistakes); diff != "" {
		t.Error(diff)
	}
}

func TestDoubtful(t *testing.T) {
	o, _, _ := decodeOne(t, header+"spec:\n  txet: a\n  children:\n  - count: x\n")
	for path, want := range map[string]bool{
		"spec.text": true, "spec": true, "spec.children[0].count": true, "spec.children[0]": true,
		"spec.children[0].count.unit": true,
		"spec.list":                   false, "spec.children[1]": false, "spec.textual": false, "metadata.name": false,
	} {
		if got := o.Doubtful(path); got != want {
			t.Errorf("Doubtful(%q) = %v, want %v", path, got, want)
		}
	}
}

func TestDecodeBoundsAliases(t *testing.T) {
	var b strings.Builder
	b.WriteString(header + "spec:\n  whatever: &a0 {text: x}\n  children:\n")
	for i := 1; i < 30; i++ { // 2^29 objects when written out
		fmt.Fprintf(&b, "  - &a%d {children: [*a%d, *a%d]}\n", i, i-1, i-1)
	}
	_, _, mistakes := decodeOne(t, b.String())
	if len(mistakes) != 1 || !strings.HasSuffix(mistakes[0], ": too much comes from aliases: write it out") {
		t.Errorf("mistakes: %q", mistakes)
	}
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"nothing":        {"", nil},
		"comments":       {"# a\n---\n# b\n", nil},
		"one":            {"apiVersion: v1\nkind: A\nmetadata: {name: n, namespace: s}", []string{"1 1 v1/A s/n"}},
		"several":        {"---\nkind: A\n---\n---\nkind: B\n", []string{"1 2 /A /", "3 5 /B /"}},
		"JSON":           {"{\"kind\":\n\t\"A\",\n\t\"metadata\": {\"name\": \"n\"}}", []string{"1 1 /A /n"}},
		"list":           {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: x/v1, kind: A}\n- kind: B\n", []string{"1 4 x/v1/A /", "1 5 /B /"}},
		"typed list":     {"apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {name: n}\n- &b {kind: Other}\n- *b\n", []string{"1 4 v1/Secret /n", "1 5 v1/Other /", "1 5 v1/Other /"}},
		"empty list":     {"apiVersion: v1\nkind: List\nitems: []\n", nil},
		"no object":      {"- a\n---\njust text\n", []string{"1 1 / /", "2 3 / /"}},
		"typed nonsense": {"kind: 5\nmetadata: [x]\n", []string{"1 1 / /"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range objects {
				got = append(got, fmt.Sprintf("%d %d %s/%s %s/%s", o.Document, o.Line(""), o.APIVersion, o.Kind, o.Namespace, o.Name))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseSyntax(t *testing.T) {
	tests := map[string]string{
		"a: [1":           "document 1 is not YAML: line 1: did not find expected ',' or ']'",
		"a: 1\n---\nb: {": "document 2 is not YAML: line 3: did not find expected node content",
		"a: *cAnArY":      "document 1 is not YAML: a value that begins with * must be put in quotes, or it names an anchor",
		"a: 'cAnArY":      "document 1 is not YAML: found unexpected end of stream",
		"a: cAnArY: b":    "document 1 is not YAML: mapping values are not allowed in this context",
		"a: \"\\cAnArY\"": "document 1 is not YAML: found unknown escape character",
		"a: \xff":         "document 1 is not YAML: invalid leading UTF-8 octet",
	}
	for text, want := range tests {
		_, err := manifest.Parse([]byte(text))
		if !errors.Is(err, connector.ErrInvalid) || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestCheckType(t *testing.T) {
	tests := map[string][]string{
		"kind: A\napiVersion: v1": nil,
		"a: b":                    {"apiVersion: is missing: write, for example, regcred.dev/v1alpha1", "kind: is missing: write, for example, Connector"},
		"[a]":                     {"apiVersion: the document is a list: write an object with apiVersion, kind and metadata"},
	}
	for text, want := range tests {
		objects, err := manifest.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range objects[0].CheckType() {
			got = append(got, m.Error())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(header + "spec: {text: a, children: [{list: [b]}], wait: 1s, data: {k: aGVsbG8=}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("kind: List\nitems: [&x {spec: {whatever: 1}}, *x]\n---\n? {a: b}\n: c"))
	f.Add([]byte("<<: {a: b}\n!!binary x: !!int y\nspec: !!set {text}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifest.Parse(data)
		if err != nil && len(objects) > 0 {
			t.Error("objects beside an error")
		}
		for _, o := range objects {
			o.CheckType()
			var s sample
			for _, m := range o.Decode(&s) {
				if line := o.Line(m.Path); line < 1 {
					t.Errorf("line %d of %v", line, m)
				}
				if !o.Doubtful(m.Path) {
					t.Errorf("%v leaves no doubt", m)
				}
			}
		}
	})
}
