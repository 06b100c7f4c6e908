package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func TestPutOnAFullTmpfs(t *testing.T) {
	options := directories(t)
	mountSmallTmpfs(t, options.RuntimeDir, "size=64k,mode=0700")
	s := open(t, options)
	must(t, s.volumes.Put("kept", []byte("old")))
	err := s.volumes.Put("kept", make([]byte, 1<<20))
	want := "storing a record in " + s.volumes.path + ": no space left on device: " +
		"delete pods that use this driver, or enlarge the tmpfs that is mounted there (mount -o remount,size=128m,nr_inodes=64k)"
	if !errors.Is(err, connector.ErrExhausted) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	expectOnly(t, s.volumes, map[string][]byte{"kept": []byte("old")})
	// There is room for small ones, and for all when the tmpfs has grown.
	must(t, s.volumes.Put("small", []byte("fits")))
	must(t, unix.Mount("", options.RuntimeDir, "", unix.MS_REMOUNT, "size=8m"))
	must(t, s.volumes.Put("kept", make([]byte, 1<<20)))
}

func TestPutWithoutInodes(t *testing.T) {
	options := directories(t)
	mountSmallTmpfs(t, options.RuntimeDir, "nr_inodes=4,mode=0700") // root, two directories, one record
	s := open(t, options)
	must(t, s.volumes.Put("first", nil))
	for _, key := range []string{"second", "first"} {
		if err := s.volumes.Put(key, nil); !errors.Is(err, connector.ErrExhausted) || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%s: got %v", key, err)
		}
	}
	expectOnly(t, s.volumes, map[string][]byte{"first": {}})
}

func TestReadOnly(t *testing.T) {
	options := directories(t)
	mountSmallTmpfs(t, options.StateDir, "mode=0700") // stands for a disk
	s := open(t, options)
	must(t, s.intents.Put("kept", []byte("old")))
	must(t, unix.Mount("", options.StateDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	advice := " in " + s.intents.path + ": read-only file system: remount it read-write"
	for what, err := range map[string]error{
		"storing a record":  s.intents.Put("kept", []byte("new")),
		"deleting a record": s.intents.Delete("kept"),
	} {
		if !errors.Is(err, connector.ErrUnavailable) || err.Error() != what+advice {
			t.Errorf("%s: got %v", what, err)
		}
	}
	expectOnly(t, s.intents, map[string][]byte{"kept": []byte("old")})
	must(t, s.Close(false))
	if _, err := Open(t.Context(), options); !errors.Is(err, connector.ErrUnavailable) || !errors.Is(err, unix.EROFS) {
		t.Errorf("opening: got %v", err)
	}
	must(t, unix.Mount("", options.StateDir, "", unix.MS_REMOUNT, ""))
}

func TestPutTooLarge(t *testing.T) {
	s := open(t, directories(t))
	if err := s.volumes.Put("key", make([]byte, maxRecord)); !errors.Is(err, connector.ErrExhausted) {
		t.Errorf("got %v", err)
	}
	expectOnly(t, s.volumes, map[string][]byte{})
}

// expectOnly compares the whole documents and looks for anything beside them.
func expectOnly(t *testing.T, d *Dir, want map[string][]byte) {
	t.Helper()
	got, err := d.All()
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	names, err := entries(d.fd)
	must(t, err)
	if len(names) != len(want) {
		t.Errorf("%d files for %d documents: %q", len(names), len(want), names)
	}
}

func TestDamagedRecords(t *testing.T) {
	whole := encodeRecord("key", []byte("document"))
	for name, test := range map[string]struct {
		content []byte
		cause   string
	}{
		"empty":             {nil, "not a record of this driver"},
		"foreign":           {[]byte(`{"kind":"Secret"}`), "not a record of this driver"},
		"cut in the header": {whole[:40], "cut off within the key"},
		"cut in the key":    {whole[:len(whole)-len("document")-1], "cut off within the key"},
		"cut in the middle": {whole[:len(whole)-1], "the checksum differs"},
		"longer":            {append(bytes.Clone(whole), 0), "the checksum differs"},
		"zeroed":            {append(bytes.Clone(whole[:len(whole)-4]), 0, 0, 0, 0), "the checksum differs"},
		"of another key":    {encodeRecord("other", []byte("document")), "the record belongs under another name"},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, directories(t))
			for _, dir := range []*Dir{s.volumes, s.intents} {
				must(t, dir.Put("good", []byte("whole")))
				must(t, os.WriteFile(dir.path+"/"+recordName("key"), test.content, 0o600))
				got, err := dir.All()
				if diff := cmp.Diff(map[string][]byte{"good": []byte("whole")}, got); diff != "" {
					t.Errorf("documents (-want +got):\n%s", diff)
				}
				want := fmt.Sprintf("record %q in %s was removed: damaged: %s", recordName("key"), dir.path, test.cause)
				files := []string{recordName("good")}
				if !dir.tmpfs {
					want = fmt.Sprintf("record %q in %s was kept as %[1]s.torn, look at it and delete it: damaged: %[3]s", recordName("key"), dir.path, test.cause)
					want = strings.Replace(want, `"`+recordName("key")+`".torn`, recordName("key")+".torn", 1)
					files = append(files, recordName("key")+".torn")
				}
				if err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				names, err := entries(dir.fd)
				must(t, err)
				if diff := cmp.Diff(files, names, sortedStrings); diff != "" {
					t.Errorf("files (-want +got):\n%s", diff)
				}
				// It is told once, and its name is free again.
				if _, err := dir.All(); err != nil {
					t.Errorf("told again: %v", err)
				}
				must(t, dir.Put("key", []byte("document")))
			}
		})
	}
}

// After a downgrade, what the newer driver knew of objects at providers is there
// when it comes back; what was kept in memory can be had again.
func TestRecordsOfAnotherVersion(t *testing.T) {
	s := open(t, directories(t))
	newer := bytes.Replace(encodeRecord("key", []byte("document")), []byte("record/1"), []byte("record/2"), 1)
	for _, dir := range []*Dir{s.volumes, s.intents} {
		must(t, os.WriteFile(dir.path+"/"+recordName("key"), newer, 0o600))
	}
	_, err := s.intents.All()
	want := fmt.Sprintf("reading %q in %s: written by another version of the driver: start that version again, or delete the file once what it names is deleted at its provider", recordName("key"), s.intents.path)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if content, err := os.ReadFile(s.intents.path + "/" + recordName("key")); err != nil || !bytes.Equal(content, newer) {
		t.Errorf("on disk is %q, %v", content, err)
	}
	_, err = s.volumes.All()
	want = fmt.Sprintf("record %q in %s was removed: written by another version of the driver", recordName("key"), s.volumes.path)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	expectOnly(t, s.volumes, map[string][]byte{})
}

// A directory in a record's place gets out of its way.
func TestADirectoryIsNoRecord(t *testing.T) {
	s := open(t, directories(t))
	for _, dir := range []*Dir{s.volumes, s.intents} {
		must(t, os.Mkdir(dir.path+"/"+recordName("key"), 0o700))
		if _, err := dir.All(); err == nil {
			t.Error("it is not told")
		}
		must(t, dir.Put("key", []byte("document")))
	}
}

// Records that a successor would not find are refused, before anything is made
// at a provider.
func TestADiskThatIsGone(t *testing.T) {
	const advice = ": the directory was removed, replaced or unmounted while the driver runs: put it back and restart the driver"
	for name, c := range map[string]struct {
		lose  func(dir string) error
		cause error
	}{
		"removed":   {os.RemoveAll, unix.ENOENT},
		"replaced":  {func(dir string) error { return errors.Join(os.Rename(dir, dir+"-old"), os.Mkdir(dir, 0o700)) }, unix.ESTALE},
		"unmounted": {func(dir string) error { return unix.Unmount(filepath.Dir(dir), unix.MNT_DETACH) }, unix.ENOENT},
	} {
		t.Run(name, func(t *testing.T) {
			options := directories(t)
			must(t, os.MkdirAll(options.StateDir, 0o700))
			must(t, unix.Mount("disk", options.StateDir, "tmpfs", 0, "mode=0700"))
			t.Cleanup(func() { unmount(t, options.StateDir) })
			s := open(t, options)
			must(t, c.lose(s.intents.path))
			err := s.intents.Put("key", []byte("document"))
			want := "storing a record in " + s.intents.path + ": " + c.cause.Error() + advice
			if !errors.Is(err, connector.ErrUnavailable) || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// What is no record by its name is reported and left alone, and blocks nobody.
func TestForeignFiles(t *testing.T) {
	s := open(t, directories(t))
	dir := s.intents
	must(t, dir.Put("good", []byte("whole")))
	must(t, os.WriteFile(dir.path+"/notes.txt", []byte("hello"), 0o600))
	must(t, unix.Mkfifo(dir.path+"/pipe", 0o600))
	must(t, os.Symlink("/etc/passwd", dir.path+"/link"))
	must(t, os.Mkdir(dir.path+"/lost+found", 0o700))
	got, err := dir.All()
	if diff := cmp.Diff(map[string][]byte{"good": []byte("whole")}, got); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	irregular := fmt.Sprintf("damaged: not a regular file of at most %d bytes", maxRecord)
	var want []string
	for _, foreign := range [][2]string{
		{"link", "damaged: a symbolic link"},
		{"lost+found", irregular},
		{"notes.txt", "damaged: not a record of this driver"},
		{"pipe", irregular},
	} {
		want = append(want, fmt.Sprintf("reading %q in %s: %s", foreign[0], dir.path, foreign[1]))
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), fmt.Sprint(err)); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, directories(t))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			own, shared := fmt.Sprintf("own-%d", worker), []byte(strings.Repeat(fmt.Sprint(worker), 5000))
			for range 50 {
				for key, document := range map[string][]byte{own: []byte("mine"), "shared": shared} {
					if err := s.volumes.Put(key, document); err != nil {
						t.Error(err)
					}
				}
				if err := s.volumes.Delete(own); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			for range 20 {
				if _, err := s.volumes.All(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	got, err := s.volumes.All()
	must(t, err)
	if document := got["shared"]; len(got) != 1 || len(document) != 5000 || bytes.Count(document, document[:1]) != 5000 {
		t.Errorf("got %d documents, the shared one mixed or gone", len(got))
	}
}

func BenchmarkPut(b *testing.B) {
	s := open(b, directories(b))
	document := bytes.Repeat([]byte("x"), 2000)
	for name, dir := range map[string]*Dir{"tmpfs": s.volumes, "disk": s.intents} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, dir.Put("key", document))
			}
		})
	}
}

// BenchmarkAll reads what a restart on a full node reads.
func BenchmarkAll(b *testing.B) {
	s := open(b, directories(b))
	for i := range 3000 {
		must(b, s.volumes.Put(fmt.Sprintf("csi-%d", i), bytes.Repeat([]byte("x"), 2000)))
	}
	for b.Loop() {
		_, err := s.volumes.All()
		must(b, err)
	}
}
