package tmpfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
func helped(version string) render.Files { return withHelper(sample(version)) }

func withHelper(files render.Files) render.Files {
	return append(render.Files{{Path: helperPath, Program: true}}, files...)
}

func programDirIn(kubeletDir string) string { return filepath.Join(kubeletDir, "run", "helper") }

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
	d, err := New(Options{KubeletDir: kubeletDir, Program: program, ProgramDir: programDirIn(kubeletDir)})
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

// contentBeside is what a pod reads but the program.
func contentBeside(t testing.TB, place volume.Place) map[string]string {
	t.Helper()
	content := contentOf(t, place.Target)
	delete(content, helperPath)
	return content
}

// TestProgramKilled is TestKilled for a volume of two mounts: after each kill
// it is there with its program, or it does not count as published.
func TestProgramKilled(t *testing.T) {
	ready := func(t *testing.T, d *Disk, place volume.Place) { publish(t, d, place, withHelper(before)) }
	for _, c := range []struct {
		operation string
		prepare   func(t *testing.T, d *Disk, place volume.Place)
		leastStep int
		published bool
	}{
		{"publish", func(*testing.T, *Disk, volume.Place) {}, 25, false},
		{"update", ready, 16, true},
		{"purge", ready, 18, true},
		{"remove", ready, 7, false},
	} {
		for _, then := range []string{"published again", "removed", "orphaned"} {
			t.Run(c.operation+" and "+then, func(t *testing.T) {
				d := newHelpedDisk(t)
				for step := 0; ; step++ {
					place := placeOf(t, d, fmt.Sprint(step))
					c.prepare(t, d, place)
					if !killed(t, victim{d.kubeletDir, place, c.operation, step, true}) {
						if step < c.leastStep {
							t.Errorf("only %d steps", step)
						}
						return
					}
					d := helpedDiskAt(t, d.kubeletDir, programFile)
					assertPublished(t, d, place, c.published)
					if c.published {
						runs(t, place)
					}
					switch then {
					case "published again":
						publish(t, d, place, withHelper(after))
						sweep(t, d, place)
						assertPublished(t, d, place, true)
						if diff := cmp.Diff(asMap(after), contentBeside(t, place)); diff != "" {
							t.Errorf("step %d: %s", step, diff)
						}
						runs(t, place)
						for _, m := range mountsBelow(t, place.Target) {
							if m.MountOptions[0] != "ro" {
								t.Errorf("step %d: mount %v", step, m)
							}
						}
						if n := len(mountsBelow(t, place.Target)); n != 2 {
							t.Errorf("step %d: %d mounts", step, n)
						}
						remove(t, d, place)
					case "removed":
						remove(t, d, place)
					case "orphaned":
						if busy, err := d.RemoveOrphan(place.Target); busy || err != nil {
							t.Errorf("step %d: busy %v, error %v", step, busy, err)
						}
						assertGone(t, place)
					}
				}
			})
		}
	}
}

// What holds a part of the volume does not keep it from going, nor its secrets
// readable.
func TestProgramHeld(t *testing.T) {
	d := newHelpedDisk(t)
	for name, hold := range map[string]func(t *testing.T, place volume.Place){
		"the program's mount":     func(t *testing.T, place volume.Place) { keepOpen(t, filepath.Join(place.Target, programMount)) },
		"the program, which runs": func(t *testing.T, place volume.Place) { keepOpen(t, filepath.Join(place.Target, helperPath)) },
		"a secret":                func(t *testing.T, place volume.Place) { keepOpen(t, filepath.Join(place.Target, "config.json")) },
		"a container's bind of all": func(t *testing.T, place volume.Place) {
			container := t.TempDir()
			t.Cleanup(func() { mustDo(t, unix.Unmount(container, unix.MNT_DETACH)) })
			mustDo(t, unix.Mount(place.Target, container, "", unix.MS_BIND|unix.MS_REC, ""), unix.Mount("", container, "", unix.MS_REC|unix.MS_PRIVATE, ""))
			keepOpen(t, filepath.Join(container, helperPath))
		},
		"somebody's mount over it": func(t *testing.T, place volume.Place) {
			mustDo(t, unix.Mount("x", filepath.Join(place.Target, programMount), "tmpfs", 0, ""))
		},
		"nothing: somebody unmounted it": func(t *testing.T, place volume.Place) {
			mustDo(t, unix.Unmount(filepath.Join(place.Target, programMount), 0))
		},
	} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, known %v", name, known), func(t *testing.T) {
				place := placeOf(t, d, "held")
				publish(t, d, place, helped("1"))
				kept, err := os.Open(filepath.Join(place.Target, "config.json"))
				mustDo(t, err)
				defer kept.Close()
				hold(t, place)
				d := d
				if !known {
					d = helpedDiskAt(t, d.kubeletDir, programFile)
				}
				if _, err := d.Remove(place); err != nil {
					t.Fatal(err)
				}
				assertGone(t, place)
				if text, err := io.ReadAll(kept); err != nil || len(text) > 0 {
					t.Errorf("the secret is still there: %q, %v", text, err)
				}
			})
		}
	}
}

// keepOpen holds what is at a path until the test ends.
func keepOpen(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	mustDo(t, err)
	t.Cleanup(func() { mustDo(t, f.Close()) })
}

// A volume that lost its program does not count as whole, and gets it back in
// place: its pods keep what they have.
func TestProgramLost(t *testing.T) {
	d := newHelpedDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, helped("1"))
	before := ino(t, place.Target)
	mount := filepath.Join(place.Target, programMount)
	for _, seen := range []*Disk{d, helpedDiskAt(t, d.kubeletDir, programFile)} {
		mustDo(t, unix.Unmount(mount, 0))
		assertPublished(t, seen, place, false)
		publish(t, seen, place, helped("2"))
		assertPublished(t, seen, place, true)
		runs(t, place)
		if diff := cmp.Diff(asMap(sample("2")), contentBeside(t, place)); diff != "" {
			t.Error(diff)
		}
	}
	if after := ino(t, place.Target); after != before {
		t.Errorf("the volume was %s and is %s", before, after)
	}
	publish(t, d, place, helped("3")) // nothing is missing
	if n := len(mountsBelow(t, place.Target)); n != 2 {
		t.Errorf("%d mounts", n)
	}
	remove(t, d, place)
}

// The copy is looked for, not trusted: what is not it goes.
func TestCopyOfTheProgramIsAnother(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"directory":   func(dir string) error { return os.Mkdir(dir, 0o700) },
		"empty tmpfs": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), unix.Mount("x", dir, "tmpfs", 0, "")) },
		"writable":    func(dir string) error { return mountCopy(dir, unix.MS_NOSUID|unix.MS_NODEV) },
		"not executable": func(dir string) error {
			return mountCopy(dir, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY|unix.MS_NOEXEC)
		},
		"set-user-ID":     func(dir string) error { return mountCopy(dir, unix.MS_NODEV|unix.MS_RDONLY) },
		"two on another":  func(dir string) error { return errors.Join(mountCopy(dir, 0), unix.Mount("x", dir, "tmpfs", 0, "")) },
		"the copy itself": func(dir string) error { return mountCopy(dir, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newHelpedDisk(t)
			mustDo(t, prepare(programDirIn(d.kubeletDir)))
			place := placeOf(t, d, "a")
			publish(t, d, place, helped("1"))
			runs(t, place)
			if got := mountsBelow(t, filepath.Join(d.kubeletDir, "run")); len(got) != 1 {
				t.Errorf("copies: %v", got)
			}
			var fs unix.Statfs_t
			mustDo(t, unix.Statfs(filepath.Join(place.Target, programMount), &fs))
			if want := int64(unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV); fs.Flags&want != want {
				t.Errorf("flags: %#x", fs.Flags)
			}
			remove(t, d, place)
		})
	}
	t.Run("link", func(t *testing.T) {
		d := newHelpedDisk(t)
		mustDo(t, os.Symlink("/", programDirIn(d.kubeletDir)))
		place := placeOf(t, d, "a")
		if err := d.Publish(place, helped("1")); !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("error %v", err)
		}
		assertGone(t, place)
	})
}

// mountCopy mounts a copy of the program as this driver would not.
func mountCopy(dir string, flags uintptr) error {
	text, err := os.ReadFile(programFile)
	return errors.Join(err, os.Mkdir(dir, 0o700), unix.Mount("x", dir, "tmpfs", 0, ""),
		os.WriteFile(filepath.Join(dir, "true"), text, 0o555), unix.Mount("", dir, "", flags|unix.MS_REMOUNT, ""))
}

// A mount that fails in the middle leaves nothing.
func TestProgramPublishFails(t *testing.T) {
	d := newHelpedDisk(t)
	onPurpose := errors.New("failed on purpose")
	for step := 0; ; step++ {
		place := placeOf(t, d, fmt.Sprint(step))
		failed := false
		d.atStep(step, func() error { failed = true; return onPurpose })
		err := d.Publish(place, helped("1"))
		d.step = nil
		if !failed {
			mustDo(t, err)
			remove(t, d, place)
			return
		}
		if !errors.Is(err, onPurpose) {
			t.Errorf("step %d: %v", step, err)
		}
		assertGone(t, place)
	}
}
