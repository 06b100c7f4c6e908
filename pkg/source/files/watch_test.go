package files_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watched is a tree whose Source runs.
type watched struct {
	*tree
	heard chan string
}

func watch(t *testing.T, rescan time.Duration, prepare func(*tree)) *watched {
	t.Helper()
	w := &watched{tree: &tree{T: t, dir: t.TempDir()}, heard: make(chan string, 1000)}
	prepare(w.tree)
	source, err := files.New(files.Options{Dir: w.dir, Issuers: builtin.Definitions(), Rescan: rescan})
	if err != nil {
		t.Fatal(err)
	}
	w.source = source
	if err := source.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	source.Subscribe(func(c connector.Change) { w.heard <- describe(c) })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

// expect waits for exactly these changes.
func (w *watched) expect(changes ...string) {
	w.Helper()
	for _, want := range changes {
		select {
		case got := <-w.heard:
			if got != want {
				w.Fatalf("heard %s, want %s", got, want)
			}
		case <-time.After(20 * time.Second):
			w.Fatalf("did not hear of %s", want)
		}
	}
}

// rename writes a file beside its name and moves it there, as careful tools do.
func (w *watched) rename(name, content string) {
	w.Helper()
	w.write(".tmp", content)
	if err := os.Rename(filepath.Join(w.dir, ".tmp"), filepath.Join(w.dir, name)); err != nil {
		w.Fatal(err)
	}
}

func TestRunHearsOfFiles(t *testing.T) {
	w := watch(t, 0, func(tr *tree) { tr.write("a.yaml", conn("a", "a.example.com")) })
	w.write("b.yaml", conn("b", "b.example.com"))
	w.expect("Connector ci/b")
	w.rename("a.yaml", conn("a", "a2.example.com"))
	w.expect("Connector ci/a")
	w.rename("b.yaml", conn("b", "b.example.com")) // the same
	w.write("sub/c.yaml", conn("c", "c.example.com"))
	w.expect("Connector ci/c")
	w.write("sub/c.yaml", conn("c", "c2.example.com"))
	w.expect("Connector ci/c")
	w.remove("a.yaml")
	w.expect("Connector ci/a")
	if err := os.RemoveAll(filepath.Join(w.dir, "sub")); err != nil {
		t.Fatal(err)
	}
	w.expect("Connector ci/c")
	w.write("sub/c.yaml", conn("c", "c3.example.com")) // a new directory of the same name
	w.expect("Connector ci/c")
	w.write("sub/c.yaml", conn("c", "c4.example.com"))
	w.expect("Connector ci/c")
	if host := w.host("c"); host != "c4.example.com" {
		t.Error(host)
	}
}

// TestRunHearsOfLinkSwap does what the kubelet does to a mounted ConfigMap.
func TestRunHearsOfLinkSwap(t *testing.T) {
	link := func(tr *tree, target, name string) {
		tr.Helper()
		if err := os.Symlink(target, filepath.Join(tr.dir, name)); err != nil {
			tr.Fatal(err)
		}
	}
	w := watch(t, 0, func(tr *tree) {
		tr.write("..1/a.yaml", conn("a", "a.example.com"))
		link(tr, "..1", "..data")
		link(tr, "..data/a.yaml", "a.yaml")
	})
	for i := 2; i < 5; i++ {
		host := fmt.Sprintf("a%d.example.com", i)
		w.write(fmt.Sprintf("..%d/a.yaml", i), conn("a", host))
		link(w.tree, fmt.Sprintf("..%d", i), "..data_tmp")
		if err := os.Rename(filepath.Join(w.dir, "..data_tmp"), filepath.Join(w.dir, "..data")); err != nil {
			t.Fatal(err)
		}
		w.expect("Connector ci/a")
		if got := w.host("a"); got != host {
			t.Errorf("got %s, want %s", got, host)
		}
		if err := os.RemoveAll(filepath.Join(w.dir, fmt.Sprintf("..%d", i-1))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunSettles(t *testing.T) {
	w := watch(t, 0, func(tr *tree) { tr.write("a.yaml", conn("a", "a.example.com")) })
	const writes = 300
	for i := range writes {
		w.write("a.yaml", conn("a", fmt.Sprintf("a%d.example.com", i)))
	}
	last := fmt.Sprintf("a%d.example.com", writes-1)
	heard := 0
	for w.host("a") != last {
		w.expect("Connector ci/a")
		heard++
	}
	if heard > writes/10 {
		t.Errorf("%d looks for %d writes", heard, writes)
	}
}

func TestRunKeepsWhatIsHalfWritten(t *testing.T) {
	whole := secretManifest("login", "one") + "---\n" + conn("a", "a.example.com")
	w := watch(t, 0, func(tr *tree) { tr.write("a.yaml", whole) })
	next := secretManifest("login", "two") + "---\n" + conn("a", "a2.example.com")
	for _, end := range []int{len(next) - 4, strings.Index(next, "stringData: {") + 14, 0} {
		w.write("a.yaml", next[:end])
		w.write("other.yaml", conn("other", fmt.Sprintf("other%d.example.com", end)))
		w.expect("Connector ci/other")
		if host := w.host("a"); host != "a.example.com" {
			t.Errorf("after %d bytes: %s", end, host)
		}
	}
	w.write("a.yaml", next)
	w.expect("Connector ci/a", "Secret ci/login")
}

func TestRunLooksAgainByItself(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "a.yaml")
	write := func(host string) {
		t.Helper()
		if err := os.WriteFile(outside, []byte(conn("a", host)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.example.com")
	w := watch(t, 20*time.Millisecond, func(tr *tree) {
		if err := os.Symlink(outside, filepath.Join(tr.dir, "a.yaml")); err != nil {
			tr.Fatal(err)
		}
	})
	write("a2.example.com") // no event tells
	w.expect("Connector ci/a")
}
