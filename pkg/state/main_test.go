package state

import (
	"os"
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

func TestMain(m *testing.M) { os.Exit(mounttest.Main(m)) }

// directories are two paths that do not exist yet.
func directories(t testing.TB) Options {
	base := t.TempDir()
	return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
}

// open opens a store and, at the test's end, closes it and its tmpfs.
func open(t testing.TB, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, s) })
	return s
}

// reopen stands for a restart of the driver.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(false); err != nil {
		t.Fatal(err)
	}
	return open(t, s.options)
}
