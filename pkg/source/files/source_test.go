package files_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

var _ interface {
	volume.Connectors
	volume.Objects
} = (*files.Source)(nil)

// tree is a directory of manifests with a Source that is loaded by hand.
type tree struct {
	*testing.T
	dir     string
	source  *files.Source
	changes []string
}

func newTree(t *testing.T) *tree {
	t.Helper()
	tr := &tree{T: t, dir: t.TempDir()}
	source, err := files.New(files.Options{Dir: tr.dir, ClusterResourceNamespace: "regcred-system", Issuers: builtin.Definitions()})
	if err != nil {
		t.Fatal(err)
	}
	source.Subscribe(func(c connector.Change) { tr.changes = append(tr.changes, describe(c)) })
	tr.source = source
	return tr
}

func describe(c connector.Change) string { return fmt.Sprintf("%s %s/%s", c.Kind, c.Namespace, c.Name) }

func (tr *tree) write(name string, content ...string) {
	tr.Helper()
	path := filepath.Join(tr.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tr.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(content, "---\n")), 0o600); err != nil {
		tr.Fatal(err)
	}
}

func (tr *tree) remove(name string) {
	tr.Helper()
	if err := os.Remove(filepath.Join(tr.dir, name)); err != nil {
		tr.Fatal(err)
	}
}

// load looks at the files and compares what changed and what is wrong.
func (tr *tree) load(changes, problems []string) {
	tr.Helper()
	tr.changes = nil
	if err := tr.source.Load(tr.Context()); err != nil {
		tr.Fatal(err)
	}
	if diff := cmp.Diff(changes, tr.changes); diff != "" {
		tr.Errorf("changes: %s", diff)
	}
	var got []string
	for _, p := range tr.source.Problems() {
		got = append(got, p.String())
	}
	if diff := cmp.Diff(problems, got); diff != "" {
		tr.Errorf("problems: %s", diff)
	}
}

// host returns the registry of a Connector of namespace ci.
func (tr *tree) host(name string) string {
	tr.Helper()
	c, err := tr.source.Connector(connector.Ref{Namespace: "ci", Name: name})
	if err != nil {
		return err.Error()
	}
	return c.Registries[0].Host
}

func conn(name, host string) string {
	return fmt.Sprintf("apiVersion: regcred.dev/v1alpha1\nkind: Connector\nmetadata: {name: %s, namespace: ci}\nspec:\n  address: %s\n  issuer: {secret: {name: login}}\n", name, host)
}

func secretManifest(name, password string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: ci, labels: {app: ci}}\nstringData: {password: %q}\n", name, password)
}

func TestNewRefuses(t *testing.T) {
	if _, err := files.New(files.Options{Issuers: builtin.Definitions()}); !errors.Is(err, connector.ErrInvalid) {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := files.New(files.Options{Dir: t.TempDir()}); err == nil {
		t.Error("without issuers: no error")
	}
}

func TestLoadOfMissingDirectory(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"))
	tr.load([]string{"Connector ci/a"}, nil)
	if err := os.Rename(tr.dir, tr.dir+"-away"); err != nil {
		t.Fatal(err)
	}
	want := "reading the manifests in " + tr.dir + ": no such file or directory"
	if err := tr.source.Load(t.Context()); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if host := tr.host("a"); host != "a.example.com" {
		t.Errorf("a directory that is away takes its objects along: %s", host)
	}
	if err := os.Rename(tr.dir+"-away", tr.dir); err != nil {
		t.Fatal(err)
	}
	tr.load(nil, nil)
}

func TestEveryKind(t *testing.T) {
	tr := newTree(t)
	tr.write("all.yaml", conn("a", "a.example.com"), `
apiVersion: regcred.dev/v1alpha1
kind: ClusterConnector
metadata: {name: hub}
spec: {address: docker.io, access: [{namespaces: [ci]}], issuer: {secret: {name: hub}}}
`, `
apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: ci
  labels: {app: ci}
  annotations: {note: text, kubectl.kubernetes.io/last-applied-configuration: "{copy}"}
type: kubernetes.io/basic-auth
data: {username: dXNlcg==, password: b2xk}
stringData: {password: new}
`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: ci}
data: {ca.crt: text}
binaryData: {raw: AAE=}
`, `
apiVersion: v1
kind: Namespace
metadata: {name: ci, labels: {tier: ci, kubernetes.io/metadata.name: forged}}
spec: {finalizers: [kubernetes]}
`, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: builder, namespace: ci}
imagePullSecrets: [{name: x}]
`)
	tr.write("sub/more.json", `{"apiVersion": "v1", "kind": "List", "items": [
		{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b", "namespace": "ci", "labels": {"app": "ci"}}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "ci", "labels": {"app": "ci"}}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c", "namespace": "cd", "labels": {"app": "ci"}}}]}`)
	tr.write("sub/deeper/unread.yaml", "not read")
	tr.write(".hidden.yaml", "not read")
	tr.write("notes.txt", "not read")
	tr.load([]string{
		"Connector /hub", "ConfigMap ci/ca", "Connector ci/a", "Namespace /ci",
		"Secret cd/c", "Secret ci/a", "Secret ci/b", "Secret ci/login",
	}, []string{"sub/deeper: manifests are read from the directory and one level below, not from here: move them up"})

	hub, err := tr.source.Connector(connector.Ref{Name: "hub"})
	if err != nil || hub.ObjectNamespace != "regcred-system" || hub.Issuer.Kind != "secret" {
		t.Errorf("hub: %+v, %v", hub, err)
	}
	login, err := tr.source.Object(t.Context(), connector.KindSecret, "ci", "login")
	if err != nil {
		t.Fatal(err)
	}
	want := &connector.Object{
		Kind: connector.KindSecret, Namespace: "ci", Name: "login", Type: "kubernetes.io/basic-auth", Version: login.Version,
		Labels: map[string]string{"app": "ci"}, Annotations: map[string]string{"note": "text"},
		Data: map[string]connector.Secret{"username": connector.NewSecret("user"), "password": connector.NewSecret("new")},
	}
	if diff := cmp.Diff(want, login); diff != "" {
		t.Error(diff)
	}
	ca, err := tr.source.Object(t.Context(), connector.KindConfigMap, "ci", "ca")
	if err != nil || ca.Data["ca.crt"].Reveal() != "text" || ca.Data["raw"].Reveal() != "\x00\x01" {
		t.Errorf("ca: %v, %v", ca, err)
	}
	if diff := cmp.Diff(map[string]string{"tier": "ci", "kubernetes.io/metadata.name": "ci"}, tr.source.NamespaceLabels("ci")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"kubernetes.io/metadata.name": "other"}, tr.source.NamespaceLabels("other")); diff != "" {
		t.Error(diff)
	}

	selector := connector.Selector{MatchLabels: map[string]string{"app": "ci"}}
	selected, err := tr.source.Select(t.Context(), connector.KindSecret, "ci", selector)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range selected {
		names = append(names, o.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "login"}, names); diff != "" {
		t.Error(diff)
	}
	if _, err := tr.source.Select(t.Context(), connector.KindSecret, "ci", connector.Selector{}); !errors.Is(err, connector.ErrInvalid) {
		t.Errorf("an empty selector: %v", err)
	}
	if none, err := tr.source.Select(t.Context(), connector.KindConfigMap, "ci", selector); err != nil || len(none) > 0 {
		t.Errorf("a selector that fits nothing: %v, %v", none, err)
	}
}

func TestNotFound(t *testing.T) {
	tr := newTree(t)
	tr.load(nil, nil)
	_, err := tr.source.Connector(connector.Ref{Namespace: "ci", Name: "a"})
	if !errors.Is(err, connector.ErrNotFound) || err.Error() != "Connector ci/a has no manifest" {
		t.Error(err)
	}
	_, err = tr.source.Object(t.Context(), connector.KindConfigMap, "ci", "a")
	if !errors.Is(err, connector.ErrNotFound) || err.Error() != "ConfigMap ci/a has no manifest" {
		t.Error(err)
	}
}

func TestChangesAreExact(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"), conn("b", "b.example.com"))
	tr.write("s.yaml", secretManifest("login", "one"))
	tr.load([]string{"Connector ci/a", "Connector ci/b", "Secret ci/login"}, nil)
	before, err := tr.source.Object(t.Context(), connector.KindSecret, "ci", "login")
	if err != nil {
		t.Fatal(err)
	}
	tr.load(nil, nil)

	tr.write("a.yaml", "# a comment\n", conn("b", "b.example.com"), conn("a", "a.example.com")) // rewritten, the same
	tr.load(nil, nil)

	tr.write("a.yaml", conn("a", "a.example.com"), conn("b", "other.example.com"))
	tr.load([]string{"Connector ci/b"}, nil)

	tr.write("s.yaml", secretManifest("login", "two"))
	tr.load([]string{"Secret ci/login"}, nil)
	after, err := tr.source.Object(t.Context(), connector.KindSecret, "ci", "login")
	if err != nil || after.Version == before.Version || after.Data["password"].Reveal() != "two" {
		t.Errorf("before %s, after %s, %v", before.Version, after.Version, err)
	}

	tr.write("a.yaml", conn("a", "a.example.com"))
	tr.load([]string{"Connector ci/b"}, nil) // removed from its file

	tr.write("moved.yaml", conn("a", "a.example.com"))
	tr.remove("a.yaml")
	tr.load(nil, nil)

	tr.remove("moved.yaml")
	tr.load([]string{"Connector ci/a"}, nil)
	if host := tr.host("a"); host != "Connector ci/a has no manifest" {
		t.Errorf("removed, but there: %s", host)
	}
}

func TestBrokenNeverTakesGoodOnesDown(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"), conn("b", "b.example.com"))
	tr.load([]string{"Connector ci/a", "Connector ci/b"}, nil)

	// One object breaks: its last valid generation stays, the other one moves on.
	tr.write("a.yaml", conn("a", "no host"), conn("b", "b2.example.com"))
	broken := `a.yaml:5: Connector ci/a: spec.address: registry host "no host": write host or host:port, without scheme, path or user`
	tr.load([]string{"Connector ci/b"}, []string{broken})
	if tr.host("a") != "a.example.com" || tr.host("b") != "b2.example.com" {
		t.Errorf("a %s, b %s", tr.host("a"), tr.host("b"))
	}
	tr.load(nil, []string{broken})

	// The file breaks: everything stays.
	tr.write("a.yaml", conn("a", "a3.example.com"), "kind: {")
	tr.load(nil, []string{"a.yaml: document 2 is not YAML: line 8: did not find expected node content"})
	tr.write("a.yaml", "")
	tr.load(nil, []string{"a.yaml: the file is empty: delete it to remove its objects"})

	// An object that cannot be named may be any of them.
	tr.write("a.yaml", conn("a", "a4.example.com"), strings.Replace(conn("b", "b4.example.com"), "name: b", "nam: b", 1))
	tr.load([]string{"Connector ci/a"}, []string{
		`a.yaml:10 (document 2): Connector: metadata.nam: unknown field; did you mean name?`,
	})
	if tr.host("a") != "a4.example.com" || tr.host("b") != "b2.example.com" {
		t.Errorf("a %s, b %s", tr.host("a"), tr.host("b"))
	}

	// Repaired.
	tr.write("a.yaml", conn("a", "a5.example.com"))
	tr.load([]string{"Connector ci/a", "Connector ci/b"}, nil)
}

func TestNeverValid(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", strings.Replace(conn("a", "no host"), "name: login", "nmae: login", 1))
	tr.load(nil, []string{
		`a.yaml:5: Connector ci/a: spec.address: registry host "no host": write host or host:port, without scheme, path or user`,
		`a.yaml:6: Connector ci/a: spec.issuer.secret.nmae: unknown field; did you mean name?`,
	})
	_, err := tr.source.Connector(connector.Ref{Namespace: "ci", Name: "a"})
	want := `spec.address: registry host "no host": write host or host:port, without scheme, path or user; spec.issuer.secret.nmae: unknown field; did you mean name?`
	if !errors.Is(err, connector.ErrPrecondition) || errors.Is(err, connector.ErrInvalid) || err.Error() != want {
		t.Error(cmp.Diff(want, err.Error()))
	}
	tr.write("a.yaml", "{") // still known, still not valid
	tr.load(nil, []string{"a.yaml: document 1 is not YAML: line 1: did not find expected node content"})
	if _, err := tr.source.Connector(connector.Ref{Namespace: "ci", Name: "a"}); !errors.Is(err, connector.ErrPrecondition) {
		t.Error(err)
	}
}

func TestFirstFileWins(t *testing.T) {
	tr := newTree(t)
	tr.write("b.yaml", conn("a", "second.example.com"))
	tr.load([]string{"Connector ci/a"}, nil)
	tr.write("a.yaml", conn("a", "first.example.com"), conn("a", "third.example.com"))
	tr.load([]string{"Connector ci/a"}, []string{
		"a.yaml:8 (document 2): Connector ci/a: the object is also in a.yaml:1, which counts: keep one",
		"b.yaml:1: Connector ci/a: the object is also in a.yaml:1, which counts: keep one",
	})
	if host := tr.host("a"); host != "first.example.com" {
		t.Error(host)
	}
	tr.remove("a.yaml")
	tr.load([]string{"Connector ci/a"}, nil)
	if host := tr.host("a"); host != "second.example.com" {
		t.Error(host)
	}
}

func TestStrangeFiles(t *testing.T) {
	tr := newTree(t)
	tr.write("big.yaml", conn("big", "a.example.com"))
	tr.write("link.yaml", conn("link", "a.example.com"))
	tr.write("pipe.yaml", conn("pipe", "a.example.com"))
	tr.load([]string{"Connector ci/big", "Connector ci/link", "Connector ci/pipe"}, nil)

	tr.write("big.yaml", "#", strings.Repeat("x", 4<<20))
	tr.remove("link.yaml")
	if err := os.Symlink("nowhere", filepath.Join(tr.dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	tr.remove("pipe.yaml")
	if err := unix.Mkfifo(filepath.Join(tr.dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr.write("loop/a.yaml", "# nothing\n")
	if err := os.Symlink(".", filepath.Join(tr.dir, "loop", "loop")); err != nil {
		t.Fatal(err)
	}
	tr.write("other.yaml", "apiVersion: apps/v1\nkind: Deployment\n---\nkind: Secret\napiVersion: v2\n---\njust text\n")
	tr.load(nil, []string{
		"big.yaml: the file is larger than 4 MiB: split it",
		"link.yaml: the link leads nowhere",
		"loop/loop: manifests are read from the directory and one level below, not from here: move them up",
		`other.yaml:2: kind: Deployment is not read here; known are Connector, ClusterConnector, Secret, ConfigMap, Namespace, ServiceAccount and lists of them`,
		`other.yaml:5 (document 2): Secret: apiVersion: write v1 for a Secret`,
		`other.yaml:7 (document 3): apiVersion: the document is text: write an object with apiVersion, kind and metadata`,
		"pipe.yaml: it is no regular file",
	})
	for _, name := range []string{"big", "link", "pipe"} {
		if host := tr.host(name); host != "a.example.com" {
			t.Errorf("%s: %s", name, host)
		}
	}
}

func TestMistakesOfCoreKinds(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", `apiVersion: v1
kind: Secret
metadata: {name: s, namespace: ci}
dta: {}
data: {"a b": AAAA, c: "%"}
`, `apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: ci}
data: {twice: a}
binaryData: {twice: AAAA}
`, `apiVersion: v1
kind: Namespace
metadata: {name: ns, namespace: ci}
`, `apiVersion: v1
kind: ServiceAccount
metadata: {name: a}
`)
	tr.load(nil, []string{
		"a.yaml:4: Secret ci/s: dta: unknown field; did you mean data?",
		"a.yaml:5: Secret ci/s: data: has a key that is none: use letters, digits, dashes, underscores and dots",
		"a.yaml:5: Secret ci/s: data[c]: is not base64: encode it, or use the field for plain text",
		"a.yaml:10 (document 2): ConfigMap ci/c: data[twice]: is also in binaryData: keep one",
		"a.yaml:15 (document 3): Namespace: metadata.namespace: a Namespace has no namespace: leave it out",
		"a.yaml:19 (document 4): ServiceAccount: metadata.namespace: is missing or no namespace: write lower-case letters, digits and dashes, at most 63",
	})
	_, err := tr.source.Object(t.Context(), connector.KindSecret, "ci", "s")
	if !errors.Is(err, connector.ErrPrecondition) {
		t.Error(err)
	}
}

func TestUnreadable(t *testing.T) {
	tr := newTree(t)
	tr.write("a.yaml", conn("a", "a.example.com"))
	tr.write("sub/b.yaml", conn("b", "b.example.com"))
	tr.load([]string{"Connector ci/a", "Connector ci/b"}, nil)
	for _, name := range []string{"a.yaml", "sub"} {
		if err := os.Chmod(filepath.Join(tr.dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{filepath.Dir(tr.dir), tr.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asNobody(t, func() {
		tr.load(nil, []string{"a.yaml: opening the file: permission denied", "sub: listing the directory: permission denied"})
	})
	if tr.host("a") != "a.example.com" || tr.host("b") != "b.example.com" {
		t.Errorf("a %s, b %s", tr.host("a"), tr.host("b"))
	}
	for _, name := range []string{"a.yaml", "sub"} {
		if err := os.Chmod(filepath.Join(tr.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tr.load(nil, nil)
	if err := os.RemoveAll(filepath.Join(tr.dir, "sub")); err != nil {
		t.Fatal(err)
	}
	tr.load([]string{"Connector ci/b"}, nil)
}

// asNobody runs f on a thread that reads files without root's rights.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	const nobody = 65534
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.SetfsuidRetUid(nobody)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setfsuid(own); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}
