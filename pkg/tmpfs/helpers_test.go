package tmpfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"

	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// newDisk gives a Disk on an empty kubelet directory. Whatever a test leaves
// mounted there goes away with it.
func newDisk(t testing.TB) *Disk {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		for _, m := range mountsBelow(t, dir) {
			if err := unix.Unmount(m.MountPoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
				t.Errorf("cleaning up %s: %v", m.MountPoint, err)
			}
		}
	})
	return diskAt(t, dir)
}

func diskAt(t testing.TB, dir string) *Disk {
	t.Helper()
	d, err := New(Options{KubeletDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// placeOf gives the place of a pod's volume, with the directories that the
// kubelet makes.
func placeOf(t testing.TB, d *Disk, pod string) volume.Place {
	t.Helper()
	parent := filepath.Join(d.kubeletDir, "pods", pod, "volumes", csiVolumes, "registry")
	if err := os.MkdirAll(parent, 0o750); err != nil {
		t.Fatal(err)
	}
	return volume.Place{ID: "csi-" + pod, Target: filepath.Join(parent, "mount"), FileMode: 0o444}
}

func filesOf(pathsAndData ...string) render.Files {
	var files render.Files
	for i := 0; i < len(pathsAndData); i += 2 {
		files = append(files, render.File{Path: pathsAndData[i], Data: []byte(pathsAndData[i+1]), Secret: true})
	}
	return files
}

// sample is content of the usual kind; version makes it differ in one file.
func sample(version string) render.Files {
	return filesOf(
		"certs.d/a.example:5000/ca.crt", "CA of a",
		"certs.d/b.example/ca.crt", "CA of b",
		"config.json", `{"auths":{"v":"`+version+`"}}`,
		"regcred.json", "{}",
	)
}

func publish(t testing.TB, d *Disk, place volume.Place, files render.Files) {
	t.Helper()
	if err := d.Publish(place, files); err != nil {
		t.Fatal(err)
	}
}

func update(t testing.TB, d *Disk, place volume.Place, files render.Files, purge, want bool) {
	t.Helper()
	changed, err := d.Update(place, files, purge)
	if err != nil || changed != want {
		t.Fatalf("Update: changed %v, error %v; want changed %v", changed, err, want)
	}
}

// sweep removes all that is superseded.
func sweep(t testing.TB, d *Disk, place volume.Place) {
	t.Helper()
	if left, err := d.Sweep(place, time.Now()); err != nil || !left.IsZero() {
		t.Fatalf("Sweep: left %s, error %v", left, err)
	}
}

func remove(t testing.TB, d *Disk, place volume.Place) {
	t.Helper()
	if busy, err := d.Remove(place); busy || err != nil {
		t.Fatalf("Remove: busy %v, error %v", busy, err)
	}
	assertGone(t, place)
}

func assertGone(t testing.TB, place volume.Place) {
	t.Helper()
	if _, err := os.Lstat(place.Target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target is still there: %v", err)
	}
	if left := mountsBelow(t, filepath.Dir(place.Target)); len(left) != 0 {
		t.Errorf("mounts left: %v", left)
	}
}

func assertPublished(t testing.TB, d *Disk, place volume.Place, want bool) {
	t.Helper()
	if got, err := d.Published(place); got != want || err != nil {
		t.Fatalf("Published: %v, %v; want %v", got, err, want)
	}
}

// contentOf reads a volume as a pod does, through the names at its root.
func contentOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	content, err := readTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func readTree(dir string) (map[string]string, error) {
	content := map[string]string{}
	names, err := os.ReadDir(dir)
	for _, name := range names {
		if err != nil || strings.HasPrefix(name.Name(), reserved) || name.Name() == markerName {
			continue
		}
		err = readInto(content, dir, name.Name())
	}
	return content, err
}

func readInto(content map[string]string, dir, path string) error {
	info, err := os.Stat(filepath.Join(dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a name that leads nowhere is not there for a reader
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(filepath.Join(dir, path))
		content[path] = string(data)
		return err
	}
	names, err := os.ReadDir(filepath.Join(dir, path))
	for _, name := range names {
		if err == nil {
			err = readInto(content, dir, path+"/"+name.Name())
		}
	}
	return err
}

func asMap(files render.Files) map[string]string {
	content := map[string]string{}
	for _, f := range files {
		content[f.Path] = string(f.Data)
	}
	return content
}

func mountsBelow(t testing.TB, dir string) []mount.MountInfo {
	t.Helper()
	all, err := mount.ParseMountInfo("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var below []mount.MountInfo
	for _, m := range all {
		if strings.HasPrefix(unescape(m.MountPoint), dir) {
			m.MountPoint = unescape(m.MountPoint)
			below = append(below, m)
		}
	}
	return below
}

// atStep makes a Disk call f before its n-th step, counted from 0.
func (d *Disk) atStep(n int, f func() error) {
	d.step = func(string) error {
		n--
		if n == -1 {
			return f()
		}
		return nil
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]string, len(entries))
	for i, e := range entries {
		all[i] = e.Name()
	}
	return all
}

func descriptors(t testing.TB) int {
	t.Helper()
	return len(names(t, "/proc/self/fd"))
}

func ino(t testing.TB, path string) string {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
