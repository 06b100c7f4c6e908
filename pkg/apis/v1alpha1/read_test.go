package v1alpha1_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

var update = flag.Bool("update", false, "write the mistakes found into testdata/bad")

func options() v1alpha1.Options {
	return v1alpha1.Options{ClusterResourceNamespace: "regcred-system", Issuers: builtin.Definitions()}
}

func readFile(t *testing.T, path string) (*connector.Connector, []*connector.FieldError) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return readOne(t, data)
}

func readOne(t *testing.T, data []byte) (*connector.Connector, []*connector.FieldError) {
	t.Helper()
	objects, err := manifest.Parse(data)
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	return v1alpha1.Read(objects[0], options())
}

func TestReadBad(t *testing.T) {
	const mark = "# want: "
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want, rest, got []string
			for line := range strings.Lines(string(data)) {
				if text, ok := strings.CutPrefix(line, mark); ok {
					want = append(want, strings.TrimSpace(text))
				} else {
					rest = append(rest, line)
				}
			}
			c, mistakes := readOne(t, []byte(strings.Join(rest, "")))
			if c != nil {
				t.Error("a manifest with mistakes gives a Connector")
			}
			for _, m := range mistakes {
				got = append(got, m.Error())
			}
			if text := strings.Join(got, "\n"); strings.Contains(text, "hunter2") {
				t.Errorf("a password is quoted:\n%s", text)
			}
			if *update {
				text := mark + strings.Join(got, "\n"+mark) + "\n" + strings.Join(rest, "")
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(want) == 0 {
				t.Error("the file does not say what is wrong with it")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*connector.Connector{"full": wantFull(t), "cluster": wantCluster(), "besteffort": wantBestEffort()}
	if len(files) != len(want) {
		t.Errorf("files %q", files)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			got, mistakes := readFile(t, path)
			if len(mistakes) > 0 {
				t.Fatal(mistakes)
			}
			if name != "full" { // it states its own
				if got.Generation <= 0 || got.Generation >= 1<<53 || len(got.UID) != 36 {
					t.Errorf("derived uid %q, generation %d", got.UID, got.Generation)
				}
				got.UID, got.Generation = "", 0
			}
			if diff := cmp.Diff(want[name], got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func wantFull(t *testing.T) *connector.Connector {
	t.Helper()
	ca, err := os.ReadFile("testdata/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	return &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "harbor"}, UID: "6b8ae02c-e6bb-db38-d334-cd54163cf488", Generation: 265382965716944,
		ObjectNamespace: "ci",
		Registries: []connector.Registry{
			{Host: "harbor.example.com:8443", TLS: connector.TLS{
				CABundle: string(ca), ClientCertificateSecret: "harbor-client", DeliverClientCertificate: true,
			}},
			{Host: "docker.io", Mirrors: []string{"https://harbor.example.com:8443/dockerhub", "http://registry-1.docker.io"}},
			{Host: "second.example.com", TLS: connector.TLS{CAConfigMap: &connector.ObjectKey{Name: "corp-ca", Key: "ca.crt"}}},
			{Host: "third.example.com", TLS: connector.TLS{
				CASecret: &connector.ObjectKey{Name: "corp-ca", Key: "bundle.pem"}, InsecureSkipVerify: true,
			}},
			{Host: "plain.example.com", PlainHTTP: true},
		},
		Access: []connector.Peer{
			{Namespaces: []string{"team-a", "team-b"}, ServiceAccounts: []string{"builder"}},
			{NamespaceSelector: &connector.Selector{
				MatchLabels: map[string]string{"kubernetes.io/metadata.name": "tier-ci"},
				MatchExpressions: []connector.Requirement{
					{Key: "tier", Operator: "In", Values: []string{"ci"}}, {Key: "retired", Operator: "DoesNotExist"},
				},
			}},
		},
		Scope:        connector.Scope{Repositories: []string{"team-a/**", "base/go-*"}, Actions: []connector.Action{connector.Pull, connector.Push}},
		MinimumScope: connector.GrainProject, Sharing: connector.ShareServiceAccount,
		MaxAge: 24 * time.Hour, Overlap: time.Hour, DefaultTTL: 90 * time.Minute,
		AllowLongLived: true, ScopeEnforcement: connector.Strict,
		Issuer: connector.IssuerConfig{
			Kind:   "distributionToken",
			Config: []byte(`{"secretRef":{"name":"harbor-login"},"output":"registryToken","minimumLife":"2m0s"}`),
		},
	}
}

func wantCluster() *connector.Connector {
	return &connector.Connector{
		Ref: connector.Ref{Name: "docker-hub"}, ObjectNamespace: "regcred-system",
		Registries: []connector.Registry{{Host: connector.DockerHub, PlainHTTP: true}}, Access: []connector.Peer{},
		ScopeEnforcement: connector.Strict,
		Issuer:           connector.IssuerConfig{Kind: "secret", Config: []byte(`{"name":"docker-hub-login"}`)},
	}
}

func wantBestEffort() *connector.Connector {
	return &connector.Connector{
		Ref: connector.Ref{Namespace: "ci", Name: "pulls"}, ObjectNamespace: "ci",
		Registries:   []connector.Registry{{Host: "registry.example.com:5000"}},
		Scope:        connector.Scope{Repositories: []string{"team/app"}, Actions: []connector.Action{connector.Pull}},
		MinimumScope: connector.GrainRepository, ScopeEnforcement: connector.BestEffort,
		Issuer: connector.IssuerConfig{Kind: "secret", Config: []byte(`{"selector":{"matchLabels":{"registry":"example"}}}`)},
	}
}

func TestDerivedIdentity(t *testing.T) {
	read := func(namespace, address string) *connector.Connector {
		c, mistakes := readOne(t, []byte(`{apiVersion: regcred.dev/v1alpha1, kind: Connector, metadata: {name: x, namespace: `+namespace+`},
			spec: {address: `+address+`, issuer: {secret: {name: x}}}}`))
		if len(mistakes) > 0 {
			t.Fatal(mistakes)
		}
		return c
	}
	a, same, other, altered := read("ci", "a.example.com"), read("ci", "a.example.com"), read("cd", "a.example.com"), read("ci", "b.example.com")
	if diff := cmp.Diff(a, same); diff != "" {
		t.Errorf("one manifest read twice differs: %s", diff)
	}
	if a.UID == other.UID || a.Generation != other.Generation {
		t.Errorf("another namespace: uid %s and %s, generation %d and %d", a.UID, other.UID, a.Generation, other.Generation)
	}
	if a.UID != altered.UID || a.Generation == altered.Generation {
		t.Errorf("another spec: uid %s and %s, generation %d and %d", a.UID, altered.UID, a.Generation, altered.Generation)
	}
}

// TestExamples holds each issuer's example to its word.
func TestExamples(t *testing.T) {
	for _, d := range builtin.Definitions() {
		c, mistakes := readOne(t, []byte(d.Example))
		if len(mistakes) > 0 {
			t.Errorf("%s: %v", d.Kind, mistakes)
		} else if c.Issuer.Kind != d.Kind {
			t.Errorf("the example of %s shows %s", d.Kind, c.Issuer.Kind)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	opts := options()
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, err := manifest.Parse(data)
		if err != nil {
			return
		}
		for _, o := range objects {
			c, mistakes := v1alpha1.Read(o, opts)
			if (c == nil) != (len(mistakes) > 0) {
				t.Fatalf("connector %v with mistakes %v", c, mistakes)
			}
			if c == nil {
				continue
			}
			for _, r := range c.Registries {
				if canonical, err := connector.CanonicalHost(r.Host); err != nil || canonical != r.Host {
					t.Errorf("host %q passed: %v", r.Host, err)
				}
			}
			if ref, err := connector.ParseRef(c.Ref.String(), ""); err != nil || ref != c.Ref {
				t.Errorf("reference %q passed: %v", c.Ref, err)
			}
		}
	})
}

// BenchmarkNonsense is a manifest of nothing but mistakes.
func BenchmarkNonsense(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: x, namespace: ci}\nspec:\n")
	for i := range 8000 {
		fmt.Fprintf(&text, "  adress%d: x\n", i)
	}
	objects, err := manifest.Parse([]byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, mistakes := v1alpha1.Read(objects[0], options()); len(mistakes) != 51 {
			b.Fatal(len(mistakes))
		}
	}
}

func TestNonsenseIsCutShort(t *testing.T) {
	unknown := strings.Repeat(", no%d: x", 60)
	var numbers []any
	for i := range 60 {
		numbers = append(numbers, i)
	}
	var names []string
	for i := range 256 {
		names = append(names, fmt.Sprintf("B%d", i))
	}
	for name, spec := range map[string]string{
		"unknown fields":          "issuer: {secret: {name: x}}" + fmt.Sprintf(unknown, numbers...),
		"bad values":              "issuer: {secret: {name: x}}, access: [{serviceAccounts: [" + strings.Join(names, ", ") + "]}]",
		"more than is looked at":  "issuer: {secret: {name: x}}, access: [{namespaces: [" + strings.Join(names, ", ") + ", a, b]}]",
		"values of a wrong type":  "issuer: {secret: {name: x}}, access: [{namespaces: [" + strings.Repeat("1, ", 60) + "]}]",
		"unknown and bad fields":  "issuer: {secret: {name: A_b}}, delivery: other" + fmt.Sprintf(unknown, numbers...),
		"lists instead of fields": "issuer: {secret: {name: x}}, registries: [" + strings.Repeat("[], ", 64) + "]",
	} {
		t.Run(name, func(t *testing.T) {
			_, mistakes := readOne(t, []byte("{apiVersion: regcred.dev/v1alpha1, kind: Connector, metadata: {name: x, namespace: ci}, spec: {"+spec+"}}"))
			if len(mistakes) != 51 || mistakes[50].Detail != "is not the last mistake: mend those that are told first" {
				t.Errorf("%d mistakes, the last %v", len(mistakes), mistakes[len(mistakes)-1])
			}
		})
	}
}
