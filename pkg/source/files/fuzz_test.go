package files

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

// secretWord stands for the content of Secrets. Its letters make it no name of
// an object, and no kind.
const secretWord = "cAnArY0f"

func seeds(f *testing.F) {
	f.Helper()
	const head = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ci}\n"
	for _, seed := range []string{
		head + "data: {password: " + secretWord + "!}\n", head + "stringData: {password: " + secretWord + "}\n", head + "strngData: {password: " + secretWord + "}\n",
		head + "stringData: {\"" + secretWord + " \": x}\n", head + "stringData: {" + secretWord + ": a, " + secretWord + ": b}\n", head + "stringData: {password: *" + secretWord + "}\n",
		head + "stringData: {a: y, b: N}\n", head + "stringData: &a {password: x}\ndata: *a\n", head + "type: kubernetes.io/basic-auth\ndata: {a: aGVsbG8=, a.b: ''}\nstringData: {a: x}\n",
		"apiVersion: v1\nkind: SecretList\nitems: [" + secretWord + ", {metadata: {name: a, namespace: b}, data: {x: eA==}}]\n",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: ci, labels: {a: b}}\ndata: {ca.crt: x}\nbinaryData: {ca.crt: eA==}\n",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: n, labels: {kubernetes.io/metadata.name: other, a: b}}\nspec: {finalizers: [x]}\n",
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: n, namespace: ci}\nautomountServiceAccountToken: yes\n", "{\"kind\": \"Secret\"}", "kind: Pod\n---\n- a\n---\n", "\x00", "%YAML 9\n---\n", "? {a: b}\n: c\n",
		"apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: a, namespace: ci}\nspec:\n  address: https://h.example\n  issuer: {secret: {name: login}}\n",
		"apiVersion: regcred.dev/v1alpha1\nkind: ClusterConnector\nmetadata: {name: a}\nspec:\n  registries: [{host: H:5000, mirrors: [{url: 'https://m/x'}]}]\n  scope: {repositories: [a/**]}\n  issuer: {distributionToken: {output: registryToken}}\n",
		"apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: a, namespace: ci}\nspec: {\"x\\ny\": 1, address: \"" + strings.Repeat("long ", 1000) + "\"}\n",
	} {
		f.Add([]byte(seed))
	}
}

// FuzzParse reads files of manifests: an object is valid or told what is wrong
// with it, each mistake in one short line that quotes no Secret; and a file
// means the same when it is read again.
func FuzzParse(f *testing.F) {
	seeds(f)
	opts := v1alpha1.Options{Issuers: builtin.Definitions(), ClusterResourceNamespace: "regcred-system"}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := parse("file.yaml", data, opts)
		for _, it := range got.items {
			if (it.value == nil) == (it.err == nil) || it.id.name == "" {
				t.Errorf("%v has value %v and error %v", it.id, it.value, it.err)
			}
			if o, ok := it.value.(*connector.Object); ok && (o.Name != it.id.name || o.Namespace != it.id.namespace || string(o.Kind) != it.id.kind) {
				t.Errorf("%v is read as %s %s/%s", it.id, o.Kind, o.Namespace, o.Name)
			}
		}
		if !got.complete && len(got.problems) == 0 {
			t.Error("something could not be named, and nothing is told")
		}
		for _, p := range got.problems {
			text := p.String()
			if len(text) > 4096 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%d bytes that are not fit to be shown: %.300q", len(text), text)
			}
			// Of regcred's own objects values are quoted; they hold no secrets.
			if strings.Contains(text, secretWord) && !strings.Contains(string(data), "regcred") {
				t.Errorf("a secret is told: %s", text)
			}
		}
		names, now := []string{"file.yaml"}, map[string]file{"file.yaml": got}
		before := merge(names, now, &snapshot{})
		again := parse("file.yaml", data, opts).after(got)
		if list := changes(before, merge(names, map[string]file{"file.yaml": again}, before)); len(list) > 0 {
			t.Errorf("read again, these changed: %v", list)
		}
		broken := unreadable("file.yaml", connector.ErrInvalid).after(got)
		if list := changes(before, merge(names, map[string]file{"file.yaml": broken}, before)); len(list) > 0 {
			t.Errorf("a file that cannot be read took away %v", list)
		}
	})
}

// FuzzObject holds Secrets and ConfigMaps to what Kubernetes' own YAML reader
// makes of the same text.
func FuzzObject(f *testing.F) {
	seeds(f)
	type object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string            `json:"name"`
			Namespace string            `json:"namespace"`
			Labels    map[string]string `json:"labels"`
		} `json:"metadata"`
		Type       string            `json:"type"`
		Immutable  bool              `json:"immutable"`
		Data       json.RawMessage   `json:"data"`
		StringData map[string]string `json:"stringData"`
		BinaryData map[string][]byte `json:"binaryData"`
	}
	opts := v1alpha1.Options{Issuers: builtin.Definitions()}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifest.Parse(data)
		if err != nil || len(objects) != 1 || strings.Contains(string(data), "<<") {
			return
		}
		var theirs object
		if yaml.UnmarshalStrict(data, &theirs) != nil || strings.HasSuffix(theirs.Kind, "List") {
			return
		}
		got := parse("file.yaml", data, opts)
		if len(got.items) != 1 || len(got.problems) > 0 {
			return
		}
		ours, ok := got.items[0].value.(*connector.Object)
		if !ok {
			return
		}
		want := map[string]string{}
		if ours.Kind == connector.KindSecret {
			var encoded map[string][]byte
			if len(theirs.Data) > 0 && json.Unmarshal(theirs.Data, &encoded) != nil {
				t.Fatalf("%s is accepted as data", theirs.Data)
			}
			for key, value := range encoded {
				want[key] = string(value)
			}
			maps.Copy(want, theirs.StringData)
		} else {
			if len(theirs.Data) > 0 && json.Unmarshal(theirs.Data, &want) != nil {
				t.Fatalf("%s is accepted as data", theirs.Data)
			}
			for key, value := range theirs.BinaryData {
				want[key] = string(value)
			}
		}
		have := map[string]string{}
		for key, value := range ours.Data {
			have[key] = value.Reveal()
		}
		if diff := cmp.Diff(want, have); diff != "" && len(want)+len(have) > 0 {
			t.Error(diff)
		}
		if len(theirs.Metadata.Labels)+len(ours.Labels) > 0 && !maps.Equal(theirs.Metadata.Labels, ours.Labels) {
			t.Errorf("labels %v, and Kubernetes reads %v", ours.Labels, theirs.Metadata.Labels)
		}
		if ours.Name != theirs.Metadata.Name || ours.Namespace != theirs.Metadata.Namespace {
			t.Errorf("%s/%s, and Kubernetes reads %s/%s", ours.Namespace, ours.Name, theirs.Metadata.Namespace, theirs.Metadata.Name)
		}
	})
}
