package tmpfs

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// programFile is a program of the machine that needs no library or is content
// with the machine's.
const programFile = "/bin/true"

const helperPath = "bin/true"

// helped is content with a program.
func helped(version string) render.Files {
	return append(render.Files{{Path: helperPath, Program: true}}, sample(version)...)
}

// newHelpedDisk gives a Disk that has a program to show.
func newHelpedDisk(t testing.TB) *Disk {
	t.Helper()
	dir := newDisk(t).kubeletDir
	mustDo(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	return helpedDiskAt(t, dir, programFile)
}

// helpedDiskAt is a Disk of a process that knows nothing of earlier ones.
func helpedDiskAt(t testing.TB, kubeletDir, program string) *Disk {
	t.Helper()
	d, err := New(Options{KubeletDir: kubeletDir, Program: program, ProgramDir: filepath.Join(kubeletDir, "run", "helper")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustDo(t, d.Close()) })
	return d
}

func runs(t testing.TB, place volume.Place) {
	t.Helper()
	program := filepath.Join(place.Target, helperPath)
	if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil {
		t.Errorf("running %s: %v %s", program, err, out)
	}
}

func TestProgram(t *testing.T) {
	d := newHelpedDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, helped("1"))
	assertPublished(t, d, place, true)
	runs(t, place)
	if got := mountsBelow(t, place.Target); len(got) != 2 {
		t.Errorf("mounts %v", got)
	}

	t.Run("nothing else is executed or written", func(t *testing.T) {
		mount := filepath.Join(place.Target, programMount)
		var fs unix.Statfs_t
		mustDo(t, unix.Statfs(place.Target, &fs))
		if fs.Flags&unix.ST_NOEXEC == 0 || fs.Flags&unix.ST_RDONLY == 0 {
			t.Errorf("flags of the volume: %#x", fs.Flags)
		}
		mustDo(t, unix.Statfs(mount, &fs))
		if want := int64(unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV); fs.Flags&want != want {
			t.Errorf("flags of the program's mount: %#x", fs.Flags)
		}
		for _, dir := range []string{place.Target, mount} {
			if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o700); !errors.Is(err, unix.EROFS) {
				t.Errorf("writing into %s: %v", dir, err)
			}
		}
		err := os.WriteFile(filepath.Join(place.Target, helperPath), []byte("x"), 0o700)
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
			t.Errorf("writing the program: %v", err)
		}
		if err := os.Remove(filepath.Join(place.Target, helperPath)); !errors.Is(err, unix.EROFS) {
			t.Errorf("removing the program: %v", err)
		}
		if got := names(t, mount); len(got) != 1 {
			t.Errorf("beside the program: %v", got)
		}
	})
	t.Run("a file of the volume cannot be executed", func(t *testing.T) {
		script := placeOf(t, d, "script")
		script.FileMode = 0o555
		publish(t, d, script, append(helped("1"), filesOf("script", "#!/bin/sh\n")...))
		defer remove(t, d, script)
		if err := exec.CommandContext(t.Context(), filepath.Join(script.Target, "script")).Run(); !errors.Is(err, unix.EACCES) {
			t.Errorf("a script of the volume: %v", err)
		}
		runs(t, script)
	})
	t.Run("it outlives rewrites", func(t *testing.T) {
		before := ino(t, filepath.Join(place.Target, helperPath))
		update(t, d, place, helped("2"), false, true)
		runs(t, place)
		update(t, d, place, helped("2"), true, false)
		update(t, d, place, helped("3"), true, true)
		runs(t, place)
		if after := ino(t, filepath.Join(place.Target, helperPath)); after != before {
			t.Errorf("the program was %s and is %s", before, after)
		}
		assertPublished(t, d, place, true)
	})
	t.Run("another process knows it", func(t *testing.T) {
		other := helpedDiskAt(t, d.kubeletDir, programFile)
		assertPublished(t, other, place, true)
		update(t, other, place, helped("4"), true, true)
		runs(t, place)
		survivors, err := other.Survey()
		if err != nil || len(survivors) != 1 || survivors[0].Target != place.Target {
			t.Errorf("survey: %v, %v", survivors, err)
		}
	})
	remove(t, d, place)
}

// There is one copy, whoever is the first to need it, and as long as the file
// stays what it is.
func TestOneCopyOfTheProgram(t *testing.T) {
	d := newHelpedDisk(t)
	a, b := placeOf(t, d, "a"), placeOf(t, d, "b")
	publish(t, d, a, helped("1"))
	publish(t, helpedDiskAt(t, d.kubeletDir, programFile), b, helped("1"))
	program := func(p volume.Place) string { return ino(t, filepath.Join(p.Target, helperPath)) }
	if program(a) != program(b) {
		t.Error("a second copy")
	}

	newer := filepath.Join(t.TempDir(), "true")
	text, err := os.ReadFile(programFile)
	mustDo(t, err, os.WriteFile(newer, append(text, 0), 0o755))
	upgraded := helpedDiskAt(t, d.kubeletDir, newer)
	c := placeOf(t, d, "c")
	publish(t, upgraded, c, helped("1"))
	if program(a) == program(c) {
		t.Error("the program of the earlier version")
	}
	for _, p := range []volume.Place{a, b, c} {
		runs(t, p)
		remove(t, upgraded, p)
	}

	mustDo(t, upgraded.RemoveProgram())
	if left := names(t, filepath.Join(d.kubeletDir, "run")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	mustDo(t, upgraded.RemoveProgram()) // again
	publish(t, d, a, helped("1"))       // although d's descriptor is of a mount that is gone
	runs(t, a)
	remove(t, d, a)
}

func TestNoProgram(t *testing.T) {
	d := newHelpedDisk(t)
	empty := filepath.Join(t.TempDir(), "empty")
	mustDo(t, os.WriteFile(empty, nil, 0o755))
	for path, want := range map[string]string{
		"/nowhere/helper": "the credential helper that docker-helper brings cannot be read: stat /nowhere/helper: no such file or directory: build it beside csi-driver, or name it by --credential-helper",
		"/proc":           "/proc is no credential helper (dr-xr-xr-x, 0 bytes): build it beside csi-driver, or name it by --credential-helper",
		empty:             empty + " is no credential helper (-rwxr-xr-x, 0 bytes): build it beside csi-driver, or name it by --credential-helper",
	} {
		d := helpedDiskAt(t, d.kubeletDir, path)
		place := placeOf(t, d, "a")
		err := d.Publish(place, helped("1"))
		if !errors.Is(err, connector.ErrPrecondition) || err.Error() != want {
			t.Errorf("%s: %v", path, err)
		}
		assertGone(t, place)
		publish(t, d, place, sample("1"))
		remove(t, d, place)
	}
}
