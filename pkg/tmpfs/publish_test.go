package tmpfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestPublishShowsEveryFile(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	assertPublished(t, d, place, false)
	publish(t, d, place, sample("1"))
	assertPublished(t, d, place, true)
	if diff := cmp.Diff(asMap(sample("1")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	remove(t, d, place)
	assertPublished(t, d, place, false)
}

func TestPublishAcceptsUnsortedFilesAndAnEmptyOne(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	files := filesOf("z", "last", "fields/b", "", "a", "first", "fields/a", "x", "fields-b", "y")
	publish(t, d, place, files)
	if diff := cmp.Diff(asMap(files), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	update(t, d, place, files, false, false)
}

func TestMountIsSealed(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	mounts := mountsBelow(t, d.kubeletDir)
	if len(mounts) != 1 || mounts[0].FsType != "tmpfs" || mounts[0].Source != source {
		t.Fatalf("mounts: %v", mounts)
	}
	if diff := cmp.Diff([]string{"ro", "nosuid", "nodev", "noexec", "relatime"}, mounts[0].MountOptions); diff != "" {
		t.Error(diff)
	}
	super := strings.Join(mounts[0].SuperOptions, ",")
	if !strings.Contains(super, "size=4096k,nr_inodes=4096") || strings.Contains(super, "noswap") != d.noswap {
		t.Errorf("tmpfs options %s, noswap accepted: %v", super, d.noswap)
	}
	for _, path := range []string{"config.json", "new", "..data/config.json"} {
		err := os.WriteFile(filepath.Join(place.Target, path), nil, 0o600)
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("writing %s: %v; want EROFS", path, err)
		}
	}
	if info, err := os.Stat(filepath.Join(place.Target, markerName)); err != nil || info.Mode() != markerMode {
		t.Errorf("marker: %v, %v", info, err)
	}
}

func TestModesAndGroup(t *testing.T) {
	for _, c := range []struct {
		file, dir fs.FileMode
		gid       int
	}{
		{0o444, 0o755, 0}, {0o440, 0o750, 4321}, {0o400, 0o700, 0}, {0o644, 0o755, 4321}, {0o404, 0o705, 0},
	} {
		t.Run(fmt.Sprintf("%o", c.file), func(t *testing.T) {
			d := newDisk(t)
			needGroup(t, c.gid)
			place := placeOf(t, d, "a")
			place.FileMode, place.GID = c.file, c.gid
			publish(t, d, place, sample("1"))
			update(t, d, place, append(sample("2"), filesOf("sub/deep/er", "x")...), false, true)
			for path, want := range map[string]fs.FileMode{
				"config.json": c.file, "certs.d/b.example/ca.crt": c.file, "sub/deep/er": c.file,
				"certs.d": c.dir, "certs.d/b.example": c.dir, "sub": c.dir, "sub/deep": c.dir, "..data": c.dir,
			} {
				var stat unix.Stat_t
				if err := unix.Stat(filepath.Join(place.Target, path), &stat); err != nil {
					t.Fatal(err)
				}
				if got := fs.FileMode(stat.Mode & 0o7777); got != want || stat.Uid != 0 || int(stat.Gid) != c.gid {
					t.Errorf("%s: mode %o, owner %d:%d; want %o, 0:%d", path, got, stat.Uid, stat.Gid, want, c.gid)
				}
			}
		})
	}
}

func TestReadersOfTheGroup(t *testing.T) {
	d := newDisk(t)
	needGroup(t, 4321)
	place := placeOf(t, d, "a")
	place.FileMode, place.GID = 0o440, 4321
	publish(t, d, place, sample("1"))
	// A container sees the mount, not the kubelet's directories above it.
	dir, err := os.Open(place.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	for _, c := range []struct {
		gid  int
		want error
	}{{4321, nil}, {4322, unix.EACCES}} {
		for _, path := range []string{"config.json", "certs.d/b.example/ca.crt"} {
			err := asUser(1000, c.gid, func() error {
				fd, err := unix.Openat(int(dir.Fd()), path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
				if err == nil {
					err = unix.Close(fd)
				}
				return err
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s read by 1000:%d: %v; want %v", path, c.gid, err, c.want)
			}
		}
	}
	err = asUser(1000, 4321, func() error {
		_, err := unix.Openat(int(dir.Fd()), markerName, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("marker read by the group: %v; want EACCES", err)
	}
}

// asUser runs f on a thread that has another identity and ends with it.
func asUser(uid, gid int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is thrown away
		_, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		if e == 0 {
			_, _, e = unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid))
		}
		if e == 0 {
			_, _, e = unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		}
		if e != 0 {
			done <- fmt.Errorf("becoming %d:%d: %w", uid, gid, e)
			return
		}
		done <- f()
	}()
	return <-done
}

func needGroup(t *testing.T, gid int) {
	t.Helper()
	if gid == 0 {
		return
	}
	if text, err := os.ReadFile("/proc/self/gid_map"); err != nil || len(strings.Fields(string(text))) != 3 || strings.Fields(string(text))[2] == "1" {
		t.Skip("a user namespace of one user has no other group: run as root")
	}
}

func TestPublishRefuses(t *testing.T) {
	d := newDisk(t)
	outside := t.TempDir()
	other := placeOf(t, d, "other")
	publish(t, d, other, sample("1"))

	type scene struct {
		place volume.Place
		files render.Files
	}
	for name, c := range map[string]struct {
		set  func(t *testing.T, s *scene)
		want error
		text string // the whole message; @ stands for the target
	}{
		"outside": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = outside + "/mount" },
			want: connector.ErrInvalid, text: `target "` + outside + `/mount" is not below the kubelet directory ` + d.kubeletDir + " (--kubelet-dir)",
		},
		"dots": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = d.kubeletDir + "/pods/../../mount" },
			want: connector.ErrInvalid,
		},
		"kubelet directory": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = d.kubeletDir },
			want: connector.ErrInvalid,
		},
		"relative": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = "pods/a" },
			want: connector.ErrInvalid,
		},
		"no parent": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = d.kubeletDir + "/none/mount" },
			want: connector.ErrPrecondition, text: "" + d.kubeletDir + "/none does not exist; the kubelet makes it before it asks for the volume",
		},
		"symlinked parent": {
			set: func(t *testing.T, s *scene) {
				dir := filepath.Dir(s.place.Target)
				mustDo(t, os.Remove(dir), os.Symlink(outside, dir))
			},
			want: connector.ErrInvalid,
		},
		"symlinked ancestor inside": {
			set: func(t *testing.T, s *scene) {
				mustDo(t, os.Symlink("pods", d.kubeletDir+"/way"))
				s.place.Target = strings.Replace(s.place.Target, "/pods/", "/way/", 1)
			},
			want: connector.ErrInvalid,
		},
		"symlinked target": {
			set: func(t *testing.T, s *scene) {
				mustDo(t, os.Symlink(outside, s.place.Target))
			},
			want: connector.ErrInvalid,
		},
		"file": {
			set:  func(t *testing.T, s *scene) { mustDo(t, os.WriteFile(s.place.Target, nil, 0o600)) },
			want: connector.ErrPrecondition, text: "mounting at @: something that is not a directory is there; remove it",
		},
		"full directory": {
			set:  func(t *testing.T, s *scene) { mustDo(t, os.MkdirAll(s.place.Target+"/x", 0o700)) },
			want: connector.ErrPrecondition, text: "mounting at @: the directory holds files of someone else (x …); remove them",
		},
		"foreign mount": {
			set: func(t *testing.T, s *scene) {
				mustDo(t, os.Mkdir(s.place.Target, 0o700), unix.Mount("x", s.place.Target, "tmpfs", 0, ""))
			},
			want: connector.ErrPrecondition, text: "mounting at @: something that is not this driver's is mounted there; unmount it",
		},
		"other volume": {
			set:  func(_ *testing.T, s *scene) { s.place.Target = other.Target },
			want: connector.ErrConflict, text: "mounting at @: another volume of this driver is mounted there",
		},
		"too large": {
			set:  func(_ *testing.T, s *scene) { s.files = filesOf("big", strings.Repeat("x", 5<<20)) },
			want: connector.ErrExhausted,
		},
		"no files":           {set: func(_ *testing.T, s *scene) { s.files = nil }, want: connector.ErrInvalid},
		"no mode":            {set: func(_ *testing.T, s *scene) { s.place.FileMode = 0 }, want: connector.ErrInvalid},
		"setuid":             {set: func(_ *testing.T, s *scene) { s.place.FileMode = 0o444 | fs.ModeSetuid }, want: connector.ErrInvalid},
		"negative group":     {set: func(_ *testing.T, s *scene) { s.place.GID = -1 }, want: connector.ErrInvalid},
		"file twice":         {set: func(_ *testing.T, s *scene) { s.files = filesOf("a", "1", "a", "2") }, want: connector.ErrInvalid},
		"file and directory": {set: func(_ *testing.T, s *scene) { s.files = filesOf("a", "1", "a-b", "2", "a/b", "3") }, want: connector.ErrInvalid},
		"deep conflict":      {set: func(_ *testing.T, s *scene) { s.files = filesOf("d/a", "1", "d/a-b", "2", "d/a/b/c", "3") }, want: connector.ErrInvalid},
		"escaping file":      {set: func(_ *testing.T, s *scene) { s.files = filesOf("../a", "1") }, want: connector.ErrInvalid},
		"absolute file":      {set: func(_ *testing.T, s *scene) { s.files = filesOf("/a", "1") }, want: connector.ErrInvalid},
		"reserved file":      {set: func(_ *testing.T, s *scene) { s.files = filesOf("..data/x", "1") }, want: connector.ErrInvalid},
		"marker":             {set: func(_ *testing.T, s *scene) { s.files = filesOf(markerName, "1") }, want: connector.ErrInvalid},
		"nul":                {set: func(_ *testing.T, s *scene) { s.files = filesOf("a\x00b", "1") }, want: connector.ErrInvalid},
		"long name":          {set: func(_ *testing.T, s *scene) { s.files = filesOf(strings.Repeat("n", 256), "1") }, want: connector.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s := scene{place: placeOf(t, d, strings.ReplaceAll(name, " ", "-")), files: sample("1")}
			c.set(t, &s)
			before, open := mountsBelow(t, d.kubeletDir), descriptors(t)
			_, existed := os.Lstat(s.place.Target)
			err := d.Publish(s.place, s.files)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v; want %v", err, c.want)
			}
			if want := strings.ReplaceAll(c.text, "@", s.place.Target); want != "" && err.Error() != want {
				t.Errorf("message\n%s\nwant\n%s", err, want)
			}
			if diff := cmp.Diff(before, mountsBelow(t, d.kubeletDir)); diff != "" {
				t.Errorf("mounts changed: %s", diff)
			}
			if _, err := os.Lstat(s.place.Target); errors.Is(err, fs.ErrNotExist) != errors.Is(existed, fs.ErrNotExist) {
				t.Errorf("target before: %v, after: %v", existed, err)
			}
			if now := descriptors(t); now != open {
				t.Errorf("%d descriptors, %d before", now, open)
			}
		})
	}
	if left := names(t, outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func mustDo(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestFailedPublishLeavesNothing(t *testing.T) {
	d := newDisk(t)
	failure := errors.New("injected")
	for n := 0; ; n++ {
		place := placeOf(t, d, fmt.Sprint(n))
		open := descriptors(t)
		d.atStep(n, func() error { return failure })
		err := d.Publish(place, sample("1"))
		if err == nil {
			if n < 10 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
		if !errors.Is(err, failure) {
			t.Fatal(err)
		}
		assertGone(t, place)
		if now := descriptors(t); now != open {
			t.Errorf("step %d: %d descriptors, %d before", n, now, open)
		}
	}
}

func TestPublishUsesAnEmptyDirectoryAndASharedTree(t *testing.T) {
	d := newDisk(t)
	// The kubelet's directory is shared with its containers' namespaces.
	mustDo(t, unix.Mount("kubelet", d.kubeletDir, "tmpfs", 0, ""), unix.Mount("", d.kubeletDir, "", unix.MS_SHARED, ""))
	d = diskAt(t, d.kubeletDir)
	place := placeOf(t, d, "a")
	mustDo(t, os.Mkdir(place.Target, 0o750))
	publish(t, d, place, sample("1"))
	update(t, d, place, sample("2"), false, true)
	sweep(t, d, place)
	if diff := cmp.Diff(asMap(sample("2")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	if mounts := mountsBelow(t, d.kubeletDir); len(mounts) != 2 || mounts[1].MountOptions[0] != "ro" {
		t.Errorf("mounts: %v", mounts)
	}
	remove(t, d, place)
}

func TestPublishOfAPublishedVolumeUpdatesIt(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	device := ino(t, place.Target)
	publish(t, d, place, sample("2"))
	if diff := cmp.Diff(asMap(sample("2")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	if now := ino(t, place.Target); now != device {
		t.Errorf("another mount: %s, was %s", now, device)
	}
}

func TestThousandRepublishes(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	before, open := mountsBelow(t, "/"), descriptors(t)
	for range 1000 {
		assertPublished(t, d, place, true)
		publish(t, d, place, sample("1"))
	}
	if diff := cmp.Diff(before, mountsBelow(t, "/")); diff != "" {
		t.Error(diff)
	}
	if now := descriptors(t); now != open {
		t.Errorf("%d descriptors, %d before", now, open)
	}
}

// TestNobodySeesHalfAVolume watches a target while volumes come and go.
func TestNobodySeesHalfAVolume(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	want := []string{markerName, dataLink, "certs.d", "config.json", "regcred.json"}
	stop := make(chan struct{})
	var watcher sync.WaitGroup
	var whole, empty atomic.Int64
	watcher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			dir, err := os.Open(place.Target)
			if err != nil {
				continue
			}
			listed, err := dir.Readdirnames(-1)
			dir.Close()
			if err != nil {
				continue
			}
			if len(listed) == 0 { // the bare directory, before or after
				empty.Add(1)
				continue
			}
			for _, name := range want {
				if !slices.Contains(listed, name) {
					t.Errorf("saw %v; want %s too", listed, name)
				}
			}
			whole.Add(1)
		}
	})
	for i := 0; i < 300 || whole.Load() == 0 && i < 100_000; i++ {
		publish(t, d, place, sample("1"))
		if _, err := d.Remove(place); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	watcher.Wait()
	if whole.Load() == 0 {
		t.Fatal("the watcher never saw a volume")
	}
	t.Logf("seen whole %d times, empty %d times", whole.Load(), empty.Load())
}

func TestManyVolumesAtOnce(t *testing.T) {
	d := newDisk(t)
	open := descriptors(t)
	var all sync.WaitGroup
	for g := range 16 {
		place := placeOf(t, d, fmt.Sprint(g))
		all.Go(func() {
			for range 20 {
				if err := roundTrip(d, place); err != nil {
					t.Errorf("volume %d: %v", g, err)
					return
				}
			}
		})
	}
	all.Wait()
	if left := mountsBelow(t, d.kubeletDir); len(left) != 0 {
		t.Errorf("mounts left: %v", left)
	}
	if now := descriptors(t); now != open {
		t.Errorf("%d descriptors, %d before", now, open)
	}
}

func roundTrip(d *Disk, place volume.Place) error {
	if err := d.Publish(place, sample("1")); err != nil {
		return err
	}
	if changed, err := d.Update(place, sample("2"), false); err != nil || !changed {
		return fmt.Errorf("changed %v: %w", changed, err)
	}
	if _, err := d.Sweep(place, time.Now()); err != nil {
		return err
	}
	content, err := readTree(place.Target)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(asMap(sample("2")), content); diff != "" {
		return errors.New(diff)
	}
	busy, err := d.Remove(place)
	if busy {
		return errors.New("busy")
	}
	return err
}

func TestPublishedSeesThroughImpostors(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	marker := filepath.Join(place.Target, markerName)
	mustDo(t, os.Mkdir(place.Target, 0o700), os.WriteFile(marker, []byte(markerOf(place.ID)+markerLive), markerMode))
	assertPublished(t, d, place, false) // a directory

	mustDo(t, unix.Mount("x", place.Target, "tmpfs", 0, ""), os.WriteFile(marker, []byte(markerOf(place.ID)+markerLive), 0o444))
	assertPublished(t, d, place, false) // a marker that root alone did not write
	mustDo(t, os.Remove(marker), os.Symlink("elsewhere", marker))
	assertPublished(t, d, place, false)
	mustDo(t, unix.Unmount(place.Target, 0), os.Remove(marker), os.Remove(place.Target))

	publish(t, d, place, sample("1"))
	assertPublished(t, d, volume.Place{ID: "another", Target: place.Target}, false)
	mustDo(t, unix.Mount("x", place.Target, "tmpfs", 0, ""))
	assertPublished(t, d, place, false) // covered
	mustDo(t, unix.Unmount(place.Target, 0))
	assertPublished(t, d, place, true)
}

func TestUsage(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	if _, err := d.Usage(place); !errors.Is(err, connector.ErrNotFound) {
		t.Errorf("before publish: %v", err)
	}
	publish(t, d, place, sample("1"))
	got, err := d.Usage(place)
	if err != nil {
		t.Fatal(err)
	}
	// Five files of a page each, the marker among them; the root, one
	// generation, three directories, five files and four links.
	want := volume.Usage{
		TotalBytes: 4 << 20, UsedBytes: 5 * 4096, FreeBytes: 4<<20 - 5*4096,
		TotalInodes: 4096, UsedInodes: 15, FreeInodes: 4096 - 15,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Options{KubeletDir: "relative"}); !errors.Is(err, connector.ErrInvalid) {
		t.Errorf("relative: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := New(Options{KubeletDir: missing}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	link := filepath.Join(t.TempDir(), "kubelet")
	mustDo(t, os.Symlink(t.TempDir(), link))
	d := diskAt(t, link)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	survivors, err := d.Survey()
	if err != nil || len(survivors) != 1 || survivors[0].Target != place.Target {
		t.Errorf("survey behind a symlink: %v, %v", survivors, err)
	}
	remove(t, d, place)
}

// TestSwappedParents races a pod that replaces a directory on the way by a
// symlink and back.
func TestSwappedParents(t *testing.T) {
	d := newDisk(t)
	outside := t.TempDir()
	mustDo(t, os.MkdirAll(outside+"/mount", 0o700))
	place := placeOf(t, d, "a")
	dir := filepath.Dir(place.Target)
	mustDo(t, os.Symlink(outside, dir+".swap"))
	stop := make(chan struct{})
	var attacker sync.WaitGroup
	attacker.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, dir+".swap", unix.RENAME_EXCHANGE); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var done, refused int
	for i := 0; i < 500 || (done == 0 || refused == 0) && i < 100_000; i++ {
		err := d.Publish(place, sample("1"))
		if _, removed := d.Remove(place); err == nil {
			err = removed
		}
		switch {
		case err == nil:
			done++
		case errors.Is(err, connector.ErrInvalid), errors.Is(err, unix.EAGAIN):
			refused++
		default:
			t.Fatal(err)
		}
		if left := mountsBelow(t, outside); len(left) != 0 {
			t.Fatalf("mounted outside: %v", left)
		}
	}
	close(stop)
	attacker.Wait()
	if diff := cmp.Diff([]string{"mount"}, names(t, outside)); diff != "" {
		t.Error(diff)
	}
	t.Logf("%d done, %d refused", done, refused)
	if done == 0 || refused == 0 {
		t.Error("there was no race")
	}
}

// TestFewDescriptors lets every operation run out of descriptors at each point.
func TestFewDescriptors(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	var limit unix.Rlimit
	mustDo(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	runOut := func(what string, f func() error) {
		t.Helper()
		for spare := 0; ; spare++ {
			lowest, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
			mustDo(t, err, unix.Close(lowest))
			mustDo(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest + spare), Max: limit.Max}))
			err = f()
			mustDo(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
			if err == nil {
				if spare < 2 {
					t.Errorf("%s needed only %d descriptors", what, spare)
				}
				return
			}
			if !errors.Is(err, connector.ErrExhausted) {
				t.Fatalf("%s with %d: %v", what, spare, err)
			}
			if what == "Publish" {
				assertGone(t, place)
			}
		}
	}
	runOut("Publish", func() error { return d.Publish(place, sample("1")) })
	runOut("Update", func() error { _, err := d.Update(place, sample("2"), false); return err })
	if diff := cmp.Diff(asMap(sample("2")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	runOut("Sweep", func() error { _, err := d.Sweep(place, time.Now()); return err })
	runOut("Remove", func() error { _, err := d.Remove(place); return err })
	assertGone(t, place)
}
