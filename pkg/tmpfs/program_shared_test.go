package tmpfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// twoViews gives two paths to one kubelet directory whose mounts reach each
// other: what the driver's container sees, and what the host and the next
// container of the driver see.
func twoViews(t *testing.T) (container, host string) {
	t.Helper()
	both := newDisk(t).kubeletDir
	container, host = filepath.Join(both, "container"), filepath.Join(both, "host")
	mustDo(t, os.Mkdir(container, 0o755), os.Mkdir(host, 0o755),
		unix.Mount("kubelet", container, "tmpfs", 0, ""), unix.Mount("", container, "", unix.MS_SHARED, ""),
		unix.Mount(container, host, "", unix.MS_BIND|unix.MS_REC, ""),
		os.Mkdir(filepath.Join(container, "run"), 0o700))
	t.Cleanup(func() { mustDo(t, unix.Unmount(host, unix.MNT_DETACH), unix.Unmount(container, unix.MNT_DETACH)) })
	return container, host
}

// through is a place as another view has it.
func through(view string, d *Disk, place volume.Place) volume.Place {
	place.Target = view + strings.TrimPrefix(place.Target, d.kubeletDir)
	return place
}

// What the host shows to pods is whole, read-only and complete, and the driver
// of a new container, which sees the host's mounts, does everything with it.
func TestProgramInSharedDirectory(t *testing.T) {
	container, host := twoViews(t)
	d := helpedDiskAt(t, container, programFile)
	place := placeOf(t, d, "a")
	publish(t, d, place, helped("1"))
	shown := through(host, d, place)
	runs(t, shown)
	for _, m := range mountsBelow(t, shown.Target) {
		if m.MountOptions[0] != "ro" {
			t.Errorf("a pod can write to %v", m)
		}
	}
	if n := len(mountsBelow(t, shown.Target)); n != 2 {
		t.Errorf("%d mounts on the host", n)
	}

	next := helpedDiskAt(t, host, programFile)
	assertPublished(t, next, shown, true)
	update(t, next, shown, helped("2"), true, true)
	second := placeOf(t, next, "b")
	publish(t, next, second, helped("1"))
	if a, b := ino(t, filepath.Join(place.Target, helperPath)), ino(t, filepath.Join(second.Target, helperPath)); a != b {
		t.Errorf("a second copy: %s, %s", a, b)
	}
	for _, p := range []volume.Place{shown, second} {
		runs(t, p)
		remove(t, next, p)
		assertGone(t, through(container, next, p))
	}
	mustDo(t, next.RemoveProgram())
	for _, view := range []string{container, host} {
		if left := mountsBelow(t, view+"/"); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	}
}

// The driver is killed, and goes on in a new container: the host's mounts are
// what it finds.
func TestProgramKilledInContainer(t *testing.T) {
	for _, operation := range []string{"publish", "remove"} {
		t.Run(operation, func(t *testing.T) {
			container, host := twoViews(t)
			d := helpedDiskAt(t, container, programFile)
			for step := 0; ; step++ {
				place := placeOf(t, d, fmt.Sprint(step))
				if operation == "remove" {
					publish(t, d, place, withHelper(before))
				}
				if !killed(t, victim{container, place, operation, step, true}) {
					return
				}
				next, found := helpedDiskAt(t, host, programFile), through(host, d, place)
				if published, err := next.Published(found); err != nil || published && len(mountsBelow(t, found.Target)) != 2 {
					t.Errorf("step %d: published %v without its program, %v", step, published, err)
				}
				publish(t, next, found, withHelper(after))
				assertPublished(t, next, found, true)
				runs(t, found)
				remove(t, next, found)
				assertGone(t, place)
			}
		})
	}
}
