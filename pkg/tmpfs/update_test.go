package tmpfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

func TestUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		from, to render.Files
		changed  bool
	}{
		"nothing":             {sample("1"), sample("1"), false},
		"one file":            {sample("1"), sample("2"), true},
		"shorter file":        {filesOf("a", "12"), filesOf("a", "1"), true},
		"longer file":         {filesOf("a", "1"), filesOf("a", "12"), true},
		"emptied file":        {filesOf("a", "1"), filesOf("a", ""), true},
		"more names":          {filesOf("a", "1"), filesOf("a", "1", "b", "2", "c/d", "3"), true},
		"fewer names":         {filesOf("a", "1", "b", "2", "c/d", "3"), filesOf("a", "1"), true},
		"no names":            {filesOf("a", "1", "c/d", "3"), nil, true},
		"file in a directory": {filesOf("c/d", "1", "c/e", "2"), filesOf("c/d", "1", "c/e", "3"), true},
		"fewer in directory":  {filesOf("c/d", "1", "c/e", "2"), filesOf("c/d", "1"), true},
		"more in directory":   {filesOf("c/d", "1"), filesOf("c/d", "1", "c/e", "2"), true},
		"file to directory":   {filesOf("a", "1", "c", "2"), filesOf("a", "1", "c/d", "2"), true},
		"directory to file":   {filesOf("a", "1", "c/d", "2"), filesOf("a", "1", "c", "2"), true},
		"deep file to dir":    {filesOf("c/d", "1"), filesOf("c/d/e", "1"), true},
		"deep dir to file":    {filesOf("c/d/e", "1"), filesOf("c/d", "1"), true},
		"large":               {filesOf("a", strings.Repeat("x", 200<<10)), filesOf("a", strings.Repeat("x", 200<<10-1)+"y"), true},
		"large, unchanged":    {filesOf("a", strings.Repeat("x", 200<<10)), filesOf("a", strings.Repeat("x", 200<<10)), false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			place, fresh := placeOf(t, d, "a"), placeOf(t, d, "fresh")
			publish(t, d, place, c.from)
			generation, _ := os.Readlink(filepath.Join(place.Target, dataLink))
			update(t, d, place, c.to, false, c.changed)
			if diff := cmp.Diff(asMap(c.to), contentOf(t, place.Target)); diff != "" {
				t.Error(diff)
			}
			if now, _ := os.Readlink(filepath.Join(place.Target, dataLink)); (now != generation) != c.changed {
				t.Errorf("generation %s, before %s", now, generation)
			}
			update(t, d, place, c.to, false, false) // it recognises its own work
			sweep(t, d, place)
			if diff := cmp.Diff(asMap(c.to), contentOf(t, place.Target)); diff != "" {
				t.Error(diff)
			}
			if len(c.to) > 0 {
				publish(t, d, fresh, c.to)
				assertSameSize(t, d, place.Target, fresh.Target)
			}
			if mounts := mountsBelow(t, filepath.Dir(place.Target)); len(mounts) != 1 || mounts[0].MountOptions[0] != "ro" {
				t.Errorf("mounts: %v", mounts)
			}
		})
	}
}

// assertSameSize compares what two volumes occupy: nothing is left over.
func assertSameSize(t *testing.T, d *Disk, a, b string) {
	t.Helper()
	var x, y unix.Statfs_t
	mustDo(t, unix.Statfs(a, &x), unix.Statfs(b, &y))
	if x.Bfree != y.Bfree || x.Ffree != y.Ffree {
		t.Errorf("%d blocks and %d inodes free, a fresh volume %d and %d; holds %v", x.Bfree, x.Ffree, y.Bfree, y.Ffree, names(t, a))
	}
}

func TestUpdateAppliesAnotherMode(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	place.FileMode = 0o400
	update(t, d, place, sample("1"), false, true)
	for _, path := range []string{"config.json", "certs.d/b.example/ca.crt"} {
		if info, err := os.Stat(filepath.Join(place.Target, path)); err != nil || info.Mode() != 0o400 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestUpdateOfWhatIsNotThere(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	check := func(what string) {
		t.Helper()
		if changed, err := d.Update(place, sample("2"), false); changed || !errors.Is(err, connector.ErrNotFound) {
			t.Errorf("%s: changed %v, %v; want not found", what, changed, err)
		}
		if _, err := d.Sweep(place, time.Now()); !errors.Is(err, connector.ErrNotFound) {
			t.Errorf("%s: Sweep: %v; want not found", what, err)
		}
	}
	check("no directory")
	mustDo(t, os.Mkdir(place.Target, 0o700))
	check("a directory")
	publish(t, d, place, sample("1"))
	place.ID = "another"
	check("another volume")
}

func TestUnchangedDirectoriesAreCarriedOver(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	dir := filepath.Join(place.Target, "certs.d")
	inode := ino(t, dir)
	subPath := t.TempDir() // a container's subPath mount
	mustDo(t, unix.Mount(dir, subPath, "", unix.MS_BIND, ""))
	t.Cleanup(func() { mustDo(t, unix.Unmount(subPath, unix.MNT_DETACH)) })
	want := map[string]string{"a.example:5000/ca.crt": "CA of a", "b.example/ca.crt": "CA of b"}

	for i := range 5 {
		update(t, d, place, sample(fmt.Sprint("next", i)), i%2 == 0, true)
		sweep(t, d, place)
		if now := ino(t, dir); now != inode {
			t.Fatalf("another directory: %s, was %s", now, inode)
		}
		if diff := cmp.Diff(want, contentOf(t, subPath)); diff != "" {
			t.Error(diff)
		}
	}
	// A changed directory is a new one; the old one is emptied.
	update(t, d, place, filesOf("certs.d/c.example/ca.crt", "CA of c"), false, true)
	if diff := cmp.Diff(want, contentOf(t, subPath)); diff != "" {
		t.Error(diff)
	}
	sweep(t, d, place)
	if _, err := os.ReadFile(subPath + "/b.example/ca.crt"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("superseded directory after Sweep: %v", err)
	}
}

func TestSupersededSecretsAreCut(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	first := openFile(t, place.Target+"/config.json")
	update(t, d, place, sample("2"), false, true)
	if got := readAgain(t, first); got != `{"auths":{"v":"1"}}` {
		t.Errorf("a reader in mid-file was cut off: %q", got)
	}
	second := openFile(t, place.Target+"/config.json")
	sweep(t, d, place)
	if got := readAgain(t, first); got != "" {
		t.Errorf("superseded content after Sweep: %q", got)
	}
	if got := readAgain(t, second); got != `{"auths":{"v":"2"}}` {
		t.Errorf("content in force: %q", got)
	}

	third := openFile(t, place.Target+"/regcred.json")
	update(t, d, place, sample("3"), false, true)
	update(t, d, place, sample("3"), true, false) // nothing new, but purge cuts what waits for Sweep
	if a, b := readAgain(t, second), readAgain(t, third); a != "" || b != "" {
		t.Errorf("superseded content after a purge: %q, %q", a, b)
	}
	fourth := openFile(t, place.Target+"/config.json")
	update(t, d, place, sample("4"), true, true)
	if got := readAgain(t, fourth); got != "" {
		t.Errorf("superseded content after an update that purges: %q", got)
	}
	if diff := cmp.Diff(asMap(sample("4")), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
}

// What is superseded keeps its time for readers, however often the content
// changes; what it is, a directory that was carried over included, goes then.
func TestSweepSparesWhatIsYoung(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	content := func(config, ca string) render.Files { return filesOf("certs/ca.crt", ca, "config.json", config) }
	publish(t, d, place, content("1", "first"))
	var opened []*os.File
	var before []time.Time
	for _, next := range []render.Files{content("2", "first"), content("3", "second"), content("4", "second")} {
		opened = append(opened, openFile(t, place.Target+"/config.json"), openFile(t, place.Target+"/certs/ca.crt"))
		update(t, d, place, next, false, true)
		before = append(before, time.Now())
	}
	for i, want := range [][]string{
		{"", "first", "2", "first", "3", "second"}, // the second has the directory of the first
		{"", "", "", "", "3", "second"},
		{"", "", "", "", "", "second"}, // which is in force
	} {
		left, err := d.Sweep(place, before[i])
		if last := i == len(before)-1; err != nil || left.IsZero() != last || (!last && (left.Before(before[i]) || left.After(before[i+1]))) {
			t.Errorf("sweep %d: left %s, error %v", i, left, err)
		}
		var got []string
		for _, f := range opened {
			got = append(got, readAgain(t, f))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after sweep %d (-want +got):\n%s", i, diff)
		}
	}
	if _, err := d.Remove(place); err != nil || len(d.former.at) != 0 {
		t.Errorf("%v; remembered of what is gone: %v", err, d.former.at)
	}
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // some tests close it earlier
	return f
}

func readAgain(t *testing.T, f *os.File) string {
	t.Helper()
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestFullVolumeKeepsItsContent(t *testing.T) {
	d := newDisk(t)
	place, fresh := placeOf(t, d, "a"), placeOf(t, d, "fresh")
	publish(t, d, place, sample("1"))
	publish(t, d, fresh, sample("1"))
	for name, files := range map[string]render.Files{
		"bytes":              append(filesOf("a-new", "x", "b/new", "x", "big", strings.Repeat("x", 5<<20)), sample("2")...),
		"bytes in directory": append(filesOf("b/big", strings.Repeat("x", 5<<20)), sample("2")...),
		"inodes":             tooMany(),
	} {
		changed, err := d.Update(place, files, false)
		if changed || !errors.Is(err, connector.ErrExhausted) || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: changed %v, %v; want exhausted", name, changed, err)
		}
		if diff := cmp.Diff(asMap(sample("1")), contentOf(t, place.Target)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		assertSameSize(t, d, place.Target, fresh.Target)
	}
	update(t, d, place, sample("2"), false, true)
}

// TestPurgeMakesRoom fills a volume with superseded content.
func TestPurgeMakesRoom(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	large := func(i int) render.Files { return filesOf("config.json", strings.Repeat(string(rune('a'+i)), 1500<<10)) }
	publish(t, d, place, large(0))
	update(t, d, place, large(1), false, true)
	if _, err := d.Update(place, large(2), false); !errors.Is(err, connector.ErrExhausted) {
		t.Fatalf("%v; want exhausted", err)
	}
	update(t, d, place, large(2), true, true)
	if diff := cmp.Diff(asMap(large(2)), contentOf(t, place.Target)); diff != "" {
		t.Error("not the new content")
	}
}

func tooMany() render.Files {
	var files render.Files
	for i := range 4200 {
		files = append(files, render.File{Path: fmt.Sprintf("d/%d", i)})
	}
	return files
}

func TestFailedUpdateKeepsTheContent(t *testing.T) {
	d := newDisk(t)
	failure := errors.New("injected")
	place, fresh := placeOf(t, d, "a"), placeOf(t, d, "fresh")
	from := append(filesOf("gone", "x"), sample("1")...)
	to := append(filesOf("new", "x", "newdir/f", "y"), sample("2")...)
	publish(t, d, place, from)
	publish(t, d, fresh, from)
	for n := 0; ; n++ {
		open := descriptors(t)
		d.atStep(n, func() error { return failure })
		changed, err := d.Update(place, to, false)
		d.step = nil
		if now := descriptors(t); now != open {
			t.Errorf("step %d: %d descriptors, %d before", n, now, open)
		}
		if changed { // the last step comes after the switch
			if !errors.Is(err, failure) || n < 10 {
				t.Errorf("%v in step %d", err, n)
			}
			break
		}
		if !errors.Is(err, failure) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asMap(from), contentOf(t, place.Target)); diff != "" {
			t.Fatalf("step %d: %s", n, diff)
		}
		assertSameSize(t, d, place.Target, fresh.Target)
	}
	if diff := cmp.Diff(asMap(to), contentOf(t, place.Target)); diff != "" {
		t.Error(diff)
	}
	sweep(t, d, place)
	publish(t, d, placeOf(t, d, "second"), to)
	assertSameSize(t, d, place.Target, placeOf(t, d, "second").Target)
}

// TestReadersSeeOldOrNew reads a file all through a hundred rotations.
func TestReadersSeeOldOrNew(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	text := func(i int) string { return strings.Repeat(string(rune('a'+i%2)), 20_000) }
	publish(t, d, place, filesOf("config.json", text(0)))
	read := make(chan struct{}) // a read was finished
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				got, err := os.ReadFile(place.Target + "/config.json")
				if err != nil || (string(got) != text(0) && string(got) != text(1)) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
				select {
				case <-stop:
					return
				case read <- struct{}{}:
				}
			}
		})
	}
	for i := range 100 { // as many as fit without a Sweep, which would cut readers off
		<-read
		update(t, d, place, filesOf("config.json", text(i+1)), false, true)
	}
	close(stop)
	readers.Wait()
}
