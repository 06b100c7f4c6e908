package state

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// finish unmounts whatever a test left at the runtime directory.
func finish(t testing.TB, s *Store) {
	if err := s.Close(false); err != nil {
		t.Error(err)
	}
	unmount(t, s.options.RuntimeDir)
}

// unmount unmounts what may be unmounted already.
func unmount(t testing.TB, path string) {
	if err := unix.Unmount(path, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		t.Errorf("unmounting %s: %v", path, err)
	}
}

// mountLine is the kernel's line about a mount point, empty when there is none.
func mountLine(t testing.TB, path string) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); fields[4] == path {
			found = append(found, line)
		}
	}
	if len(found) > 1 {
		t.Fatalf("mounts stacked on %s:\n%s", path, strings.Join(found, ""))
	}
	return strings.Join(found, "")
}

func inUserNamespace(t testing.TB) bool {
	t.Helper()
	uidMap, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return !slices.Equal(strings.Fields(string(uidMap)), []string{"0", "0", "4294967295"})
}

func TestOpenMountsAPrivateTmpfs(t *testing.T) {
	s := open(t, directories(t))
	line := mountLine(t, s.options.RuntimeDir)
	wants := []string{"nosuid", "nodev", "noexec", "tmpfs", tmpfsSource, "size=65536k", "nr_inodes=32768", "mode=700"}
	if !inUserNamespace(t) {
		wants = append(wants, "noswap")
	}
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' })
	for _, want := range wants {
		if !slices.Contains(fields, want) {
			t.Errorf("%q is missing in %s", want, line)
		}
	}
	for _, path := range []string{s.options.StateDir, s.options.RuntimeDir, s.volumes.path, s.credentials.path, s.intents.path} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s has mode %v, want drwx------", path, info.Mode())
		}
	}
}

func TestRestartFindsEverything(t *testing.T) {
	s := open(t, directories(t))
	want := map[string]map[string][]byte{
		s.volumes.path:     {"csi-1": []byte("volume one"), "csi-2": []byte("")},
		s.credentials.path: {"key/with: odd\ncharacters": []byte("secret\x00bytes\n")},
		s.intents.path:     {"intent": []byte(`{"name":"regcred-1"}`)},
	}
	for _, dir := range []*Dir{s.volumes, s.credentials, s.intents} {
		for key, document := range want[dir.path] {
			if err := dir.Put(key, []byte("superseded")); err != nil {
				t.Fatal(err)
			}
			if err := dir.Put(key, document); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := mountLine(t, s.options.RuntimeDir)
	s = reopen(t, s)
	if after := mountLine(t, s.options.RuntimeDir); after != before {
		t.Errorf("the mount changed from %s to %s", before, after)
	}
	if s.Rebooted() {
		t.Error("a restart is told as a reboot")
	}
	got := map[string]map[string][]byte{}
	for _, dir := range []*Dir{s.Volumes(), s.Credentials(), s.Intents()} {
		documents, err := dir.All()
		if err != nil {
			t.Fatal(err)
		}
		got[dir.path] = documents
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the restart (-want +got):\n%s", diff)
	}
}

func TestRebooted(t *testing.T) {
	s := open(t, directories(t))
	if s.Rebooted() {
		t.Error("the first start is told as a reboot")
	}
	if err := s.intents.Put("kept", []byte("on disk")); err != nil {
		t.Fatal(err)
	}
	if err := s.volumes.Put("gone", []byte("in memory")); err != nil {
		t.Fatal(err)
	}
	// What a reboot does: another boot id, no mounts.
	finish(t, s)
	if err := os.WriteFile(s.options.StateDir+"/"+bootIDName, []byte("another boot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.options)
	if !s.Rebooted() {
		t.Error("the reboot is not told")
	}
	intents, err := s.intents.All()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"kept": []byte("on disk")}, intents); diff != "" {
		t.Errorf("intents (-want +got):\n%s", diff)
	}
	volumes, err := s.volumes.All()
	if err != nil {
		t.Fatal(err)
	}
	if len(volumes) > 0 {
		t.Errorf("volume records survived: %v", slices.Collect(maps.Keys(volumes)))
	}
	if s = reopen(t, s); s.Rebooted() {
		t.Error("a reboot is told twice")
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	first := open(t, directories(t))
	other := directories(t)
	for name, options := range map[string]Options{
		"both directories":  first.options,
		"state directory":   {StateDir: first.options.StateDir, RuntimeDir: other.RuntimeDir},
		"runtime directory": {StateDir: other.StateDir, RuntimeDir: first.options.RuntimeDir},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), options)
			if !errors.Is(err, connector.ErrPrecondition) || !strings.Contains(err.Error(), "in use by another csi-driver") {
				t.Errorf("got %v", err)
			}
		})
	}
	mountLine(t, first.options.RuntimeDir) // fails when mounts are stacked
	if err := first.volumes.Put("key", nil); err != nil {
		t.Errorf("the first instance was hurt: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, base string) Options
		is      error
		message string // BASE stands for the temporary directory
	}{
		"no directory": {
			prepare: func(_ *testing.T, base string) Options { return Options{StateDir: base + "/state"} },
			is:      connector.ErrInvalid,
			message: "name a state and a runtime directory",
		},
		"state in runtime": {
			prepare: func(_ *testing.T, base string) Options {
				return Options{StateDir: base + "/run/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrInvalid,
			message: "state directory BASE/run/state lies in the runtime directory BASE/run, whose content is gone after a reboot: name one outside",
		},
		"symbolic link as runtime directory": {
			prepare: func(t *testing.T, base string) Options {
				must(t, os.Mkdir(base+"/elsewhere", 0o700))
				must(t, os.Symlink(base+"/elsewhere", base+"/run"))
				return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/run: a symbolic link in the path is not followed: write the path that it leads to",
		},
		"symbolic link above the state directory": {
			prepare: func(t *testing.T, base string) Options {
				must(t, os.Mkdir(base+"/elsewhere", 0o700))
				must(t, os.Symlink(base+"/elsewhere", base+"/link"))
				return Options{StateDir: base + "/link/a/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/link/a/state: a symbolic link in the path is not followed: write the path that it leads to",
		},
		"a file": {
			prepare: func(t *testing.T, base string) Options {
				must(t, os.WriteFile(base+"/state", nil, 0o600))
				return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/state: a part of the path is not a directory",
		},
		"a shared directory as state directory": {
			prepare: func(t *testing.T, base string) Options {
				must(t, os.MkdirAll(base+"/state/kubelet", 0o755))
				return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/state holds other things (kubelet): name a directory that only this driver uses",
		},
		"a directory in use as runtime directory": {
			prepare: func(t *testing.T, base string) Options {
				must(t, os.MkdirAll(base+"/run/systemd", 0o700))
				return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/run holds other things (systemd): name a directory that only this driver uses",
		},
		"a tmpfs in use as runtime directory": {
			prepare: func(t *testing.T, base string) Options {
				mountSmallTmpfs(t, base+"/run", "mode=0755")
				must(t, os.Mkdir(base+"/run/systemd", 0o755))
				return Options{StateDir: base + "/state", RuntimeDir: base + "/run"}
			},
			is:      connector.ErrPrecondition,
			message: "BASE/run holds other things (systemd): name a directory that only this driver uses",
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			before := descriptors(t)
			_, err := Open(t.Context(), test.prepare(t, base))
			if !errors.Is(err, test.is) {
				t.Fatalf("got %v, want %v", err, test.is)
			}
			if diff := cmp.Diff(strings.ReplaceAll(test.message, "BASE", base), err.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// The driver's own files are named when something else is in their place. The
// boot id is only compared, so it is simply written anew.
func TestOpenAmongStrangeFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		make func(path string) error
		want string // empty = it opens; DIR stands for the directory
	}{
		"a directory as lock":    {lockName, func(p string) error { return os.Mkdir(p, 0o700) }, "DIR/lock is not what the driver wrote (is a directory): remove it"},
		"a link as lock":         {lockName, func(p string) error { return os.Symlink("/etc/passwd", p) }, "DIR/lock is not what the driver wrote (too many levels of symbolic links): remove it"},
		"a directory as boot-id": {bootIDName, func(p string) error { return os.Mkdir(p, 0o700) }, "DIR/boot-id is not what the driver wrote (is a directory): remove it"},
		"a link as boot-id":      {bootIDName, func(p string) error { return os.Symlink("/etc/passwd", p) }, ""},
		"a huge boot-id":         {bootIDName, func(p string) error { return errors.Join(os.WriteFile(p, nil, 0o600), os.Truncate(p, 1<<30)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			options := directories(t)
			must(t, os.MkdirAll(options.StateDir, 0o700))
			must(t, c.make(filepath.Join(options.StateDir, c.file)))
			if c.want == "" {
				open(t, options)
				return
			}
			_, err := Open(t.Context(), options)
			if want := strings.Replace(c.want, "DIR", options.StateDir, 1); !errors.Is(err, connector.ErrPrecondition) || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

func TestOpenRefusesAnotherOwner(t *testing.T) {
	// In a user's own namespace the machine's files belong to somebody else;
	// outside of one, root may give a directory away.
	options := directories(t)
	if inUserNamespace(t) {
		options.StateDir = "/"
	} else {
		must(t, os.Mkdir(options.StateDir, 0o700))
		must(t, os.Chown(options.StateDir, 1234, 1234))
	}
	_, err := Open(t.Context(), options)
	if !errors.Is(err, connector.ErrPrecondition) || !strings.Contains(err.Error(), "and the driver runs as uid 0: chown it or name another directory") {
		t.Errorf("got %v", err)
	}
}

func TestOpenNarrowsItsOwnDirectories(t *testing.T) {
	options := directories(t)
	must(t, os.Mkdir(options.StateDir, 0o755))
	must(t, os.Mkdir(options.RuntimeDir, 0o755))
	must(t, os.Chmod(options.StateDir, 0o777))
	s := open(t, options)
	must(t, s.intents.Put("key", nil))
	must(t, os.Chmod(options.StateDir, 0o755))
	must(t, os.Chmod(options.RuntimeDir, 0o755))
	reopen(t, s)
	for _, path := range []string{options.StateDir, options.RuntimeDir} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
}

func TestOpenCancelledMountsNothing(t *testing.T) {
	options := directories(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, options); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(options.RuntimeDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the runtime directory: %v", err)
	}
}

func TestCleanCloseLeavesNothing(t *testing.T) {
	options := directories(t)
	before := descriptors(t)
	s := open(t, options)
	for _, dir := range []*Dir{s.volumes, s.credentials, s.intents} {
		must(t, dir.Put("key", []byte("document")))
		must(t, dir.Delete("key"))
		must(t, dir.Delete("key")) // absent is success
	}
	must(t, s.Close(true))
	must(t, s.Close(true)) // closed is closed
	for _, path := range []string{options.StateDir, options.RuntimeDir} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if line := mountLine(t, options.RuntimeDir); line != "" {
		t.Errorf("still mounted: %s", line)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestCleanCloseKeepsRecords(t *testing.T) {
	s := open(t, directories(t))
	must(t, s.intents.Put("pending revocation", []byte("document")))
	err := s.Close(true)
	want := `keeping ` + s.intents.path + `: 1 records are left, such as "` + recordName("pending revocation") + `"`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	documents, err := open(t, s.options).Intents().All()
	must(t, err)
	if diff := cmp.Diff(map[string][]byte{"pending revocation": []byte("document")}, documents); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCloseReleasesDescriptors(t *testing.T) {
	s := open(t, directories(t))
	opened := descriptors(t)
	for range 20 {
		s = reopen(t, s)
		must(t, s.volumes.Put("key", []byte("document")))
		_, err := s.volumes.All()
		must(t, err)
	}
	if now := descriptors(t); now != opened {
		t.Errorf("%d descriptors after the first start, %d after the last", opened, now)
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mountSmallTmpfs mounts a tmpfs that is not the driver's own.
func mountSmallTmpfs(t testing.TB, path, options string) {
	t.Helper()
	must(t, os.MkdirAll(path, 0o700))
	must(t, unix.Mount("foreign", path, "tmpfs", 0, options))
	t.Cleanup(func() { unmount(t, path) })
}
