package outdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func content(pairs ...string) (files render.Files) {
	for i := 0; i < len(pairs); i += 2 {
		files = append(files, render.File{Path: pairs[i], Data: []byte(pairs[i+1])})
	}
	return files
}

// tree lists what a directory holds: mode and content, directories without.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		name, err := filepath.Rel(dir, path)
		all[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func write(t *testing.T, dir string, mode fs.FileMode, files render.Files) error {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Write(files, mode, func() error { return nil })
	if closeErr := d.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	return err
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	if err := write(t, dir, 0o600, content("a", "1", "sub/deep/b", "2")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "-rw------- 1", "sub": "drwx------", "sub/deep": "drwx------", "sub/deep/b": "-rw------- 2"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Once more, over what is there.
	if err := write(t, dir, 0o444, content("a", "new", "c/d", "3", "sub/deep/b", "2")); err != nil {
		t.Fatal(err)
	}
	want = map[string]string{
		"a": "-r--r--r-- new", "c": "drwxr-xr-x", "c/d": "-r--r--r-- 3",
		"sub": "drwx------", "sub/deep": "drwx------", "sub/deep/b": "-r--r--r-- 2",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingWrittenLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"file":                     {func(dir string) error { return os.WriteFile(dir+"/x", nil, 0o600) }, "x"},
		"directory":                {func(dir string) error { return os.MkdirAll(dir+"/x/y", 0o700) }, "x"},
		"in a directory of ours":   {func(dir string) error { return os.WriteFile(dir+"/sub/x", nil, 0o600) }, "sub/x"},
		"directory instead of one": {func(dir string) error { return os.Mkdir(dir+"/a", 0o700) }, "a"},
		"link instead of a file":   {func(dir string) error { return os.Symlink("/etc/hostname", dir+"/a") }, "a"},
		"link instead of a directory": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/sub"), os.Symlink("/tmp", dir+"/sub"))
		}, "sub"},
		"many": {func(dir string) error {
			var errs []error
			for _, name := range []string{"v", "w", "x", "y", "z"} {
				errs = append(errs, os.WriteFile(dir+"/"+name, nil, 0o600))
			}
			return errors.Join(errs...)
		}, "v, w, x and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Mkdir(dir+"/sub", 0o700), tc.make(dir)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, dir)
			err := write(t, dir, 0o600, content("a", "1", "sub/b", "2"))
			want := dir + " holds what is not to be written now: " + tc.want + ": remove it, or name an empty or missing directory"
			if err == nil || err.Error() != want || !errors.Is(err, connector.ErrPrecondition) {
				t.Errorf("%v, want %s", err, want)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A name that is too long fails in the middle of placing or staging; whatever
// was placed before is taken back.
func TestAFailureTakesEverythingBack(t *testing.T) {
	dir := t.TempDir()
	if err := write(t, dir, 0o600, content("a", "old")); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &swap{root: d.root, mode: 0o600}
	for _, f := range content("a", "new", "sub/b", "new") {
		if err := errors.Join(s.stage(staging+"/new/"+f.Path, f), s.place(f.Path)); err != nil {
			t.Fatal(err)
		}
	}
	if got := tree(t, dir)["a"]; got != "-rw------- new" {
		t.Errorf("before the failure: %s", got)
	}
	if err := s.place("never staged"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("placing what was not staged: %v", err)
	}
	if err := errors.Join(s.undo(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "-rw------- old"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := write(t, dir, 0o600, content("a", "new", strings.Repeat("x", 300), "too long")); err == nil {
		t.Error("a name of 300 bytes was written")
	}
	if diff := cmp.Diff(map[string]string{"a": "-rw------- old"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	base := t.TempDir()
	if err := os.WriteFile(base+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", base+"/dangling"); err != nil {
		t.Fatal(err)
	}
	held, err := Open(base + "/held")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]string{
		"missing/out": "BASE/missing/out: the directory above it does not exist: make it first",
		"held":        "BASE/held: another process writes to it: wait for it, or name another directory",
		"file":        "opening the directory: open BASE/file: not a directory",
		"dangling":    "BASE/dangling: the link leads nowhere: make the directory that it names, or name another",
	} {
		_, err := Open(base + "/" + path)
		if err == nil || strings.ReplaceAll(err.Error(), base, "BASE") != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// It is taken away, and nothing else.
func TestWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/"+staging+"/new/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := write(t, dir, 0o600, content("a", "1")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "-rw------- 1"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestUmaskHasNoSay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	defer unix.Umask(unix.Umask(0o777))
	if err := write(t, dir, 0o440, content("a", "1", "sub/b", "2")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if diff := cmp.Diff(map[string]string{"a": "-r--r----- 1", "sub": "drwxr-x---", "sub/b": "-r--r----- 2"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestStagingIsPrivate(t *testing.T) {
	d, err := Open(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	defer unix.Umask(unix.Umask(0o777))
	if err := private(d.root, staging+"/new/sub"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{staging, staging + "/new", staging + "/new/sub"} {
		if info, err := d.root.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
}

func TestOpenToOthers(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o700: false, 0o775: false, 0o777: true, 0o777 | fs.ModeSticky: false} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.OpenToOthers(); err != nil || got != want {
			t.Errorf("%v: %v, %v", mode, got, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefused(t *testing.T) {
	user := strconv.Itoa(os.Geteuid())
	for errno, want := range map[unix.Errno]string{
		unix.EROFS:  "/out is on a file system that is read-only: name a directory on another",
		unix.ENOSPC: "/out is on a file system without space: make room, or name a directory on another",
		unix.EACCES: "/out cannot be written to by user " + user + ": name a directory of that user (mkdir x: permission denied)",
		unix.EPERM:  "/out cannot be written to by user " + user + ": name a directory of that user (mkdir x: operation not permitted)",
		unix.EIO:    "mkdir x: input/output error",
	} {
		err := refused("/out", &fs.PathError{Op: "mkdir", Path: "x", Err: errno})
		if err.Error() != want || errors.Is(err, connector.ErrPrecondition) != (errno != unix.EIO) {
			t.Errorf("%v", err)
		}
	}
}
