package tmpfs

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// asPrivilegedPod makes a mount writable in a mount namespace of its own, and
// tries to replace the program.
func asPrivilegedPod(t *testing.T, place volume.Place) {
	t.Helper()
	const script = `mount -o remount,bind,rw "$1" || exit 1
grep " $1 rw," /proc/self/mountinfo || exit 2
rm -f "$1/true" 2>/dev/null && exit 3
touch "$1/x" 2>/dev/null && exit 4
exit 0`
	pod := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", filepath.Join(place.Target, programMount))
	pod.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS} // its mounts become private
	if out, err := pod.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Who can make its own view of a volume writable does not get to write to the
// program of all the others.
func TestProgramIsNotWritableElsewhere(t *testing.T) {
	d := newHelpedDisk(t)
	a, b := placeOf(t, d, "a"), placeOf(t, d, "b")
	publish(t, d, a, helped("1"))
	publish(t, d, b, helped("1"))
	asPrivilegedPod(t, a)
	runs(t, b)

	// Nor to one that another run left writable behind a read-only mount.
	next := helpedDiskAt(t, d.kubeletDir, programFile)
	mustDo(t, makeWritable(next.program.dir))
	c := placeOf(t, next, "c")
	publish(t, next, c, helped("1"))
	if first, found := ino(t, filepath.Join(a.Target, helperPath)), ino(t, filepath.Join(c.Target, helperPath)); first != found {
		t.Errorf("a second copy: %s, %s", first, found)
	}
	asPrivilegedPod(t, c)

	for _, p := range []volume.Place{a, b, c} {
		remove(t, next, p)
	}
}

// makeWritable changes a file system, not the mount that shows it.
func makeWritable(path string) error {
	fs, err := unix.Fspick(unix.AT_FDCWD, path, unix.FSPICK_CLOEXEC)
	if err != nil {
		return err
	}
	defer shut(fs)
	return errors.Join(unix.FsconfigSetFlag(fs, "rw"), unix.FsconfigReconfigure(fs))
}
