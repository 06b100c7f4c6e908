package tmpfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// snapshot is everything below a directory: kinds, modes, owners, contents and
// where links lead.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d ", stat.Mode, stat.Uid, stat.Gid)
		switch {
		case entry.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			text += to
			if err != nil {
				return err
			}
		case entry.Type().IsRegular():
			data, err := os.ReadFile(path)
			text += string(data)
			if err != nil {
				return err
			}
		}
		all[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// outside is a tree that looks like a kubelet's and is none of the driver's
// business: a directory, a file and a mount stand where targets could be.
func outside(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	parent := filepath.Join(dir, "pods/a/volumes", csiVolumes, "registry")
	mustDo(t, os.MkdirAll(parent+"/mount", 0o750), os.WriteFile(parent+"/vol_data.json", []byte("precious"), 0o640))
	mounted := filepath.Join(dir, "pods/b/volumes", csiVolumes, "registry/mount")
	mustDo(t, os.MkdirAll(mounted, 0o750), unix.Mount("precious", mounted, "tmpfs", 0, ""), os.WriteFile(mounted+"/file", []byte("precious"), 0o640))
	t.Cleanup(func() {
		if err := unix.Unmount(mounted, unix.MNT_DETACH); err != nil {
			t.Errorf("the foreign mount is gone: %v", err)
		}
	})
	return dir
}

// operations are all that a Disk does at a target.
func (d *Disk) operations() map[string]func(volume.Place) error {
	return map[string]func(volume.Place) error{
		"Publish": func(p volume.Place) error { return d.Publish(p, sample("1")) },
		"Published": func(p volume.Place) error {
			published, err := d.Published(p)
			if err == nil && !published { // it need not know why
				err = connector.Errorf(connector.ErrInvalid, "not published")
			}
			return err
		},
		"Update":       func(p volume.Place) error { _, err := d.Update(p, sample("2"), true); return err },
		"Sweep":        func(p volume.Place) error { _, err := d.Sweep(p, time.Now()); return err },
		"Usage":        func(p volume.Place) error { _, err := d.Usage(p); return err },
		"Remove":       func(p volume.Place) error { _, err := d.Remove(p); return err },
		"RemoveOrphan": func(p volume.Place) error { _, err := d.RemoveOrphan(p.Target); return err },
	}
}

// TestNoWayOut puts a link, in turn, in the place of every directory that leads
// to a target: nothing is done behind it, nor to it.
func TestNoWayOut(t *testing.T) {
	for step := range 6 { // pods, the pod, volumes, the plug-in, the volume, the target
		for name, to := range map[string]func(d *Disk, out, rel string) string{
			"a directory outside": func(_ *Disk, out, rel string) string { return filepath.Join(out, rel) },
			"a mount outside":     func(_ *Disk, out, rel string) string { return filepath.Join(out, strings.Replace(rel, "/a", "/b", 1)) },
			"another pod":         func(d *Disk, _, rel string) string { return filepath.Join(d.kubeletDir, "other", rel) },
			"another pod, by a detour": func(_ *Disk, _, rel string) string {
				return strings.Repeat("../", strings.Count(rel, "/")) + "other/" + rel
			},
			"nowhere":                 func(*Disk, string, string) string { return "/nowhere" },
			"itself":                  func(_ *Disk, _, rel string) string { return filepath.Base(rel) },
			"the root of the machine": func(*Disk, string, string) string { return "/proc/self/root" },
			"a descriptor":            func(d *Disk, _, _ string) string { return fmt.Sprint("/proc/self/fd/", d.root) },
		} {
			t.Run(fmt.Sprint(name, " at step ", step), func(t *testing.T) {
				d := newDisk(t)
				place := placeOf(t, d, "a")
				rel, err := filepath.Rel(d.kubeletDir, place.Target)
				mustDo(t, err)
				parts := strings.Split(rel, "/")
				// What "another pod" leads to, with this very volume published.
				victim := volume.Place{ID: place.ID, Target: filepath.Join(d.kubeletDir, "other", rel), FileMode: 0o444}
				mustDo(t, os.MkdirAll(filepath.Dir(victim.Target), 0o750))
				publish(t, d, victim, sample("victim"))

				out := outside(t)
				link := filepath.Join(parts[:step+1]...)
				mustDo(t, os.RemoveAll(filepath.Join(d.kubeletDir, link)), os.Symlink(to(d, out, link), filepath.Join(d.kubeletDir, link)))
				trees := []string{d.kubeletDir, out}
				before, mounts := snapshots(t, trees), mountsBelow(t, "/")
				for what, operation := range d.operations() {
					if err := operation(place); !errors.Is(err, connector.ErrInvalid) {
						t.Errorf("%s: %v; want invalid", what, err)
					}
					if diff := cmp.Diff(before, snapshots(t, trees)); diff != "" {
						t.Fatalf("%s: %s", what, diff)
					}
					if diff := cmp.Diff(mounts, mountsBelow(t, "/")); diff != "" {
						t.Fatalf("%s: %s", what, diff)
					}
				}
			})
		}
	}
}

func snapshots(t testing.TB, dirs []string) []map[string]string {
	t.Helper()
	var all []map[string]string
	for _, dir := range dirs {
		all = append(all, snapshot(t, dir))
	}
	return all
}

// TestOccupiedTargets puts what is not the volume at its target: it is left as
// it is, and told.
func TestOccupiedTargets(t *testing.T) {
	const notDirectory = "something that is not a directory is there; remove it"
	const foreign = "something that is not this driver's is mounted there; unmount it"
	const files = "the directory holds files of someone else"
	for name, test := range map[string]struct {
		occupy          func(t *testing.T, d *Disk, target string)
		publish, remove string // the end of the error, after the target
	}{
		"a file":   {func(t *testing.T, _ *Disk, target string) { mustDo(t, os.WriteFile(target, []byte("precious"), 0o600)) }, notDirectory, notDirectory},
		"a FIFO":   {func(t *testing.T, _ *Disk, target string) { mustDo(t, unix.Mkfifo(target, 0o600)) }, notDirectory, notDirectory},
		"a socket": {func(t *testing.T, _ *Disk, target string) { listenAt(t, target) }, notDirectory, notDirectory},
		"a device": {func(t *testing.T, _ *Disk, target string) {
			if err := unix.Mknod(target, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))); errors.Is(err, unix.EPERM) { // in a user namespace
				mustDo(t, os.WriteFile(target, nil, 0o600), unix.Mount("/dev/null", target, "", unix.MS_BIND, ""))
			} else {
				mustDo(t, err)
			}
		}, notDirectory, notDirectory},
		"a hard link to a file elsewhere": {func(t *testing.T, d *Disk, target string) {
			mustDo(t, os.WriteFile(d.kubeletDir+"/precious", []byte("precious"), 0o600), os.Link(d.kubeletDir+"/precious", target))
		}, notDirectory, notDirectory},
		"a directory of hard links": {func(t *testing.T, d *Disk, target string) {
			mustDo(t, os.WriteFile(d.kubeletDir+"/precious", []byte("precious"), 0o600), os.Mkdir(target, 0o700), os.Link(d.kubeletDir+"/precious", target+"/config.json"))
		}, files + " (config.json …); remove them", files + "; remove them"},
		"a forged marker": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), os.WriteFile(target+"/"+markerName, []byte(markerOf("csi-a")+markerLive), markerMode))
		}, files + " (" + markerName + " …); remove them", files + "; remove them"},
		"a foreign tmpfs": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount("x", target, "tmpfs", 0, ""), os.WriteFile(target+"/file", []byte("precious"), 0o600))
		}, foreign, foreign},
		"a foreign tmpfs with a marker of another mode": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(source, target, "tmpfs", 0, ""), os.WriteFile(target+"/"+markerName, []byte(markerOf("csi-a")+markerLive), 0o600))
		}, foreign, foreign},
		"a foreign tmpfs with a marker that is a link": {func(t *testing.T, d *Disk, target string) {
			mustDo(t, os.WriteFile(d.kubeletDir+"/marker", []byte(markerOf("csi-a")+markerLive), markerMode),
				os.Mkdir(target, 0o700), unix.Mount(source, target, "tmpfs", 0, ""), os.Symlink(d.kubeletDir+"/marker", target+"/"+markerName))
		}, foreign, foreign},
		"a foreign tmpfs with a marker that is a FIFO": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(source, target, "tmpfs", 0, ""), unix.Mkfifo(target+"/"+markerName, markerMode))
		}, foreign, foreign},
		"a bind of a directory outside": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(outside(t)+"/pods", target, "", unix.MS_BIND, ""))
		}, foreign, foreign},
		"a recursive bind of a tree with mounts": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(outside(t)+"/pods", target, "", unix.MS_BIND|unix.MS_REC, ""))
			t.Cleanup(func() { mustDo(t, unix.Unmount(target, unix.MNT_DETACH)) })
		}, foreign, foreign},
		"a bind of a file": {func(t *testing.T, d *Disk, target string) {
			mustDo(t, os.WriteFile(d.kubeletDir+"/precious", []byte("precious"), 0o600), os.WriteFile(target, nil, 0o600), unix.Mount(d.kubeletDir+"/precious", target, "", unix.MS_BIND, ""))
		}, notDirectory, notDirectory},
		"a bind of a part of this volume": {func(t *testing.T, d *Disk, target string) {
			elsewhere := volume.Place{ID: "csi-a", Target: d.kubeletDir + "/elsewhere", FileMode: 0o444}
			publish(t, d, elsewhere, sample("1"))
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(elsewhere.Target+"/certs.d", target, "", unix.MS_BIND, ""))
		}, foreign, foreign},
		"a bind of another volume": {func(t *testing.T, d *Disk, target string) {
			elsewhere := placeOf(t, d, "other")
			publish(t, d, elsewhere, sample("1"))
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount(elsewhere.Target, target, "", unix.MS_BIND, ""))
		}, "another volume of this driver is mounted there", "another volume of this driver is mounted there; unpublish that one first"},
		"a mount below": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.MkdirAll(target+"/below", 0o700), unix.Mount("x", target+"/below", "tmpfs", 0, ""))
		}, files + " (below …); remove them", files + "; remove them"},
		"proc": {func(t *testing.T, _ *Disk, target string) {
			mustDo(t, os.Mkdir(target, 0o700), unix.Mount("/proc/self/ns", target, "", unix.MS_BIND, ""))
		}, foreign, foreign},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			place := placeOf(t, d, "a")
			test.occupy(t, d, place.Target)
			open, mounts, before := descriptors(t), mountsBelow(t, "/"), shallow(t, d.kubeletDir)
			unchanged := func(what string) {
				t.Helper()
				if diff := cmp.Diff(mounts, mountsBelow(t, "/")); diff != "" {
					t.Fatalf("%s: mounts %s", what, diff)
				}
				if diff := cmp.Diff(before, shallow(t, d.kubeletDir)); diff != "" {
					t.Fatalf("%s: %s", what, diff)
				}
				if now := descriptors(t); now != open {
					t.Fatalf("%s: %d descriptors, %d before", what, now, open)
				}
			}
			told := func(what string, err error, want string) {
				t.Helper()
				if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(err.Error(), place.Target) {
					t.Errorf("%s: %v; want … %s: %s", what, err, place.Target, want)
				}
				unchanged(what)
			}
			told("Publish", d.Publish(place, sample("1")), test.publish)
			_, err := d.Remove(place)
			told("Remove", err, test.remove)
			if published, err := d.Published(place); published || err != nil {
				t.Errorf("Published: %v, %v", published, err)
			}
			if changed, err := d.Update(place, sample("2"), true); changed || !errors.Is(err, connector.ErrNotFound) {
				t.Errorf("Update: %v, %v", changed, err)
			}
			if _, err := d.Sweep(place, time.Now()); !errors.Is(err, connector.ErrNotFound) {
				t.Errorf("Sweep: %v", err)
			}
			unchanged("looking")
		})
	}
}

// shallow is a snapshot of what is no mount.
func shallow(t testing.TB, dir string) map[string]string {
	t.Helper()
	mounted := mountsBelow(t, dir)
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, m := range mounted {
			if m.MountPoint == path {
				all[path] = "a mount"
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		text := entry.Type().String()
		if entry.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(data)
		}
		all[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// listenAt makes a socket; its path may be too long for a bind.
func listenAt(t *testing.T, target string) {
	t.Helper()
	dir, err := os.Open(filepath.Dir(target))
	mustDo(t, err)
	defer dir.Close()
	listener, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(target)))
	mustDo(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	mustDo(t, listener.Close())
}

// TestOddTargets are paths that are none, or lead elsewhere once they are read.
func TestOddTargets(t *testing.T) {
	d := newDisk(t)
	own := d.kubeletDir + "/plugins/csi.regcred.dev/run"
	d.reserved = []string{own}
	mustDo(t, os.MkdirAll(own, 0o700))
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	before, mounts := shallow(t, d.kubeletDir), mountsBelow(t, "/")
	for name, target := range map[string]string{
		"nothing":             "",
		"the root":            "/",
		"relative":            "pods/a",
		"the kubelet's":       d.kubeletDir,
		"the kubelet's, dot":  d.kubeletDir + "/.",
		"up":                  d.kubeletDir + "/..",
		"up and beside":       d.kubeletDir + "/../x",
		"far up":              d.kubeletDir + "/pods/../../../../etc",
		"beside":              d.kubeletDir + "-evil/mount",
		"the driver's own":    own,
		"in the driver's own": own + "/volumes",
		"by a detour":         d.kubeletDir + "/pods/../plugins/./csi.regcred.dev//run/",
		"a zero byte":         place.Target + "\x00/x",
		"a long name":         filepath.Dir(place.Target) + "/" + strings.Repeat("n", 256),
		"a long name before":  d.kubeletDir + "/" + strings.Repeat("n", 256) + "/mount",
		"a long path":         d.kubeletDir + strings.Repeat("/name", 1000),
		"inside a volume":     place.Target + "/mount",
		"inside its content":  place.Target + "/certs.d/mount",
	} {
		t.Run(name, func(t *testing.T) {
			for what, operation := range d.operations() {
				odd := volume.Place{ID: "odd", Target: target, FileMode: 0o444}
				err := operation(odd)
				silent := strings.HasPrefix(name, "inside") && (what == "Published" || strings.HasPrefix(what, "Remove"))
				if err == nil && !silent {
					t.Errorf("%s: no error", what)
				}
				if err != nil && !strings.HasPrefix(name, "inside") && !errors.Is(err, connector.ErrInvalid) {
					t.Errorf("%s: %v; want invalid", what, err)
				}
			}
			if diff := cmp.Diff(before, shallow(t, d.kubeletDir)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(mounts, mountsBelow(t, "/")); diff != "" {
				t.Error(diff)
			}
		})
	}
	// Spellings of the volume's own target mean the volume.
	for _, spelling := range []string{place.Target + "/", strings.Replace(place.Target, "/pods/", "//pods/./", 1), strings.Replace(place.Target, "/a/", "/a/../a/", 1)} {
		assertPublished(t, d, volume.Place{ID: place.ID, Target: spelling, FileMode: 0o444}, true)
	}
	if diff := cmp.Diff(asMap(sample("1")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
}

// TestSwappedOnTheWay exchanges each directory on the way to a target with a
// link to a tree outside, or with a directory whose volume is someone else's
// mount, while the whole life of a volume passes.
func TestSwappedOnTheWay(t *testing.T) {
	for step := 1; step < 6; step++ {
		for _, with := range []string{"a link", "a foreign mount"} {
			t.Run(fmt.Sprint(with, " at step ", step), func(t *testing.T) {
				d := newDisk(t)
				place := placeOf(t, d, "a")
				out := outside(t)
				rel, err := filepath.Rel(d.kubeletDir, place.Target)
				mustDo(t, err)
				parts := strings.Split(rel, "/")
				way := filepath.Join(parts[:step+1]...)
				here, swap := filepath.Join(d.kubeletDir, way), filepath.Join(d.kubeletDir, "swap")
				if with == "a link" {
					mustDo(t, os.Symlink(filepath.Join(out, way), swap))
				} else {
					foreign := filepath.Join(append([]string{swap}, parts[step+1:]...)...)
					mustDo(t, os.MkdirAll(foreign, 0o750))
					if foreign == swap {
						return // a mount cannot be renamed
					}
					mustDo(t, unix.Mount("precious", foreign, "tmpfs", 0, ""), os.WriteFile(foreign+"/file", []byte("precious"), 0o600))
				}
				before := snapshot(t, out)
				swapped := exchange(t, here, swap)
				var done, refused int
				for i := 0; i < 150 || (done == 0 || refused == 0) && i < 1000; i++ {
					for _, what := range []string{"Publish", "Update", "Sweep", "Published", "Remove"} {
						switch err := d.operations()[what](place); {
						case err == nil:
							done++
						case errors.Is(err, connector.ErrInvalid), errors.Is(err, connector.ErrPrecondition), errors.Is(err, connector.ErrNotFound), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY), errors.Is(err, unix.ENOENT):
							refused++
						default:
							t.Errorf("%s: %v", what, err)
						}
					}
				}
				if swapped() == 0 {
					t.Error("nothing was ever exchanged")
				}
				if diff := cmp.Diff(before, snapshot(t, out)); diff != "" {
					t.Error(diff)
				}
				foreign := 0
				for _, m := range mountsBelow(t, "/") {
					if m.Source == "precious" && (strings.HasPrefix(m.MountPoint, d.kubeletDir) || strings.HasPrefix(m.MountPoint, out)) {
						foreign++
					}
					if m.Source == source && strings.HasPrefix(m.MountPoint, out) {
						t.Errorf("mounted outside: %s", m.MountPoint)
					}
				}
				if want := map[string]int{"a link": 1, "a foreign mount": 2}[with]; foreign != want {
					t.Errorf("%d foreign mounts are left, want %d", foreign, want)
				}
				t.Logf("%d done, %d refused", done, refused)
			})
		}
	}
}

// exchange swaps two paths all the time. The function that it returns ends that
// and tells how often it succeeded.
func exchange(t *testing.T, a, b string) (end func() int) {
	t.Helper()
	stop := make(chan struct{})
	var attacker sync.WaitGroup
	n := 0
	attacker.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			// A mount, or what a Remove took away, cannot be exchanged.
			if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
				n++
			}
		}
	})
	return func() int {
		close(stop)
		attacker.Wait()
		return n
	}
}

// FuzzTarget: whatever a target is, what is opened for it lies below the
// kubelet's directory and is no link.
func FuzzTarget(f *testing.F) {
	dir := f.TempDir()
	out := f.TempDir()
	mustDo(f, os.MkdirAll(dir+"/pods/a/mount", 0o750), os.Symlink(out, dir+"/pods/link"), os.Symlink("/proc/self/root", dir+"/pods/root"), os.Symlink("..", dir+"/pods/up"))
	d := diskAt(f, dir)
	d.reserved = []string{dir + "/plugins"}
	for _, seed := range []string{"/pods/a/mount", "/pods/link/x", "/pods/root/etc", "/pods/up/..", "/../x", "//pods//a/./mount/", "/pods/a/../../..", "", "/", "/plugins", "/plugins/x", "-evil", "/\x00", "/pods/a/mount\x00", strings.Repeat("/a", 3000), "/" + strings.Repeat("n", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		target := dir + path
		for what, get := range map[string]func() (int, error){
			"target": func() (int, error) { return d.openTarget(target) },
			"parent": func() (int, error) { fd, _, err := d.openParent(target); return fd, err },
		} {
			fd, err := get()
			if err != nil {
				continue
			}
			at, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
			shut(fd)
			if err != nil {
				t.Fatal(err)
			}
			if at != dir && !strings.HasPrefix(at, dir+"/") || what == "target" && at == dir || strings.HasPrefix(at, dir+"/plugins") {
				t.Errorf("the %s of %q is %q", what, target, at)
			}
		}
	})
}

// FuzzMarker: a mount is a volume of this driver, or the one asked for, by the
// whole text of its marker alone.
func FuzzMarker(f *testing.F) {
	dir := f.TempDir()
	mustDo(f, unix.Mount("x", dir, "tmpfs", 0, ""))
	f.Cleanup(func() { mustDo(f, unix.Unmount(dir, unix.MNT_DETACH)) })
	own := markerOf("csi-a")
	for _, seed := range []string{own + markerLive, own, own + " ", own + markerLive + "x", markerOf("csi-b") + markerLive, source, source + " ", source + "x", "", "x", strings.Repeat(own, 3), own + "\x00"} {
		f.Add([]byte(seed), uint32(markerMode))
	}
	f.Add([]byte(own+markerLive), uint32(0o444))
	f.Fuzz(func(t *testing.T, text []byte, mode uint32) {
		path := dir + "/" + markerName
		mode &= 0o777
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		mustDo(t, os.WriteFile(path, text, 0o600), os.Chmod(path, fs.FileMode(mode)))
		fd, err := open(unix.AT_FDCWD, dir, unix.O_PATH, 0)
		mustDo(t, err)
		defer shut(fd)
		got, err := occupantOf(fd, "csi-a")
		mustDo(t, err)
		want := foreignMount
		switch first := string(text[:min(len(text), 128)]); {
		case mode != markerMode:
		case first == own, first == own+markerLive: // the mount is writable, as one that ends
			want = endingVolume
		case strings.HasPrefix(first, source+" "):
			want = otherVolume
		}
		if got != want {
			t.Errorf("%q of mode %o: %d, want %d", text, mode, got, want)
		}
	})
}

// FuzzVolumeData: of the kubelet's file only a volume id counts whose hash is
// the marker's, whatever else the file holds.
func FuzzVolumeData(f *testing.F) {
	dir := f.TempDir()
	d := diskAt(f, dir)
	for _, seed := range []string{
		`{"driverName":"csi.regcred.dev","volumeHandle":"csi-a"}`, `{"volumeHandle":"csi-b"}`, `{"volumeHandle":"csi-a","volumeHandle":"csi-b"}`, `{"VOLUMEHANDLE":"csi-a"}`, `{"volumeHandle":5}`, `{`, ``, `null`,
		`{"x":"` + strings.Repeat("x", 70_000) + `","volumeHandle":"csi-a"}`, strings.Repeat(`{"a":`, 10_000), "\xef\xbb\xbf{\"volumeHandle\":\"csi-a\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		mustDo(t, os.WriteFile(dir+"/"+kubeletData, text, 0o600))
		id := d.idOf("mount", hashOf("csi-a"))
		if id != "" && id != "csi-a" {
			t.Errorf("%q is taken for csi-a", id)
		}
		var said struct {
			VolumeHandle string `json:"volumeHandle"`
		}
		if len(text) < 64<<10 && (json.Unmarshal(text, &said) == nil && said.VolumeHandle == "csi-a") != (id != "") {
			t.Errorf("%q is read as %q", text, id)
		}
	})
}

// FuzzUnescape undoes what the kernel does to a path in the mount table.
func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{"/a b", "/a\tb\nc\\d#e", `/a\040b`, `/\134040`, "/é\xff", `/\\\`} {
		f.Add(seed)
	}
	kernel := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)
	f.Fuzz(func(t *testing.T, path string) {
		if got := unescape(kernel.Replace(path)); got != path {
			t.Errorf("%q is read as %q", path, got)
		}
	})
}
