package tmpfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestRemoveOfWhatIsGone(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	remove(t, d, place) // never published
	mustDo(t, os.Mkdir(place.Target, 0o700))
	remove(t, d, place) // a bare directory
	remove(t, d, volume.Place{ID: "x", Target: d.kubeletDir + "/pods/none/volumes/mount"})
	mustDo(t, os.WriteFile(d.kubeletDir+"/file", nil, 0o600))
	if busy, err := d.Remove(volume.Place{ID: "x", Target: d.kubeletDir + "/file/mount"}); busy || err != nil {
		t.Errorf("below a file: %v, %v", busy, err)
	}
}

func TestRemoveTakesEveryMountOfTheVolume(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	for range 3 {
		mustDo(t, unix.Mount(place.Target, place.Target, "", unix.MS_BIND, ""))
	}
	if n := len(mountsBelow(t, place.Target)); n != 4 {
		t.Fatalf("%d mounts", n)
	}
	remove(t, d, place)
}

func TestRemoveOfABusyVolume(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	secret := openFile(t, place.Target+"/config.json")
	if got := readAgain(t, secret); got == "" {
		t.Fatal("nothing to cut")
	}
	busy, err := d.Remove(place)
	if !busy || err != nil {
		t.Fatalf("busy %v, %v", busy, err)
	}
	assertGone(t, place)
	if got := readAgain(t, secret); got != "" {
		t.Errorf("the open descriptor still shows %q", got)
	}
}

func TestRemoveCutsWhatOthersStillMount(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	subPath := t.TempDir()
	mustDo(t, unix.Mount(place.Target+"/certs.d", subPath, "", unix.MS_BIND, ""))
	t.Cleanup(func() { mustDo(t, unix.Unmount(subPath, unix.MNT_DETACH)) })
	remove(t, d, place)
	want := map[string]string{"a.example:5000/ca.crt": "", "b.example/ca.crt": ""}
	if diff := cmp.Diff(want, contentOf(t, subPath)); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(t *testing.T, d *Disk, place *volume.Place)
		want error
		text string // the whole message; place.Target goes before it
	}{
		"foreign mount": {
			set: func(t *testing.T, _ *Disk, place *volume.Place) {
				mustDo(t, os.Mkdir(place.Target, 0o700), unix.Mount("x", place.Target, "tmpfs", 0, ""))
			},
			want: connector.ErrPrecondition, text: "something that is not this driver's is mounted there; unmount it",
		},
		"covered": {
			set: func(t *testing.T, d *Disk, place *volume.Place) {
				publish(t, d, *place, sample("1"))
				mustDo(t, unix.Mount("x", place.Target, "tmpfs", 0, ""))
			},
			want: connector.ErrPrecondition, text: "something that is not this driver's is mounted there; unmount it",
		},
		"other volume": {
			set: func(t *testing.T, d *Disk, place *volume.Place) {
				publish(t, d, *place, sample("1"))
				place.ID = "another"
			},
			want: connector.ErrPrecondition, text: "another volume of this driver is mounted there; unpublish that one first",
		},
		"full directory": {
			set: func(t *testing.T, _ *Disk, place *volume.Place) {
				mustDo(t, os.MkdirAll(place.Target+"/x", 0o700))
			},
			want: connector.ErrPrecondition, text: "the directory holds files of someone else; remove them",
		},
		"file": {
			set: func(t *testing.T, _ *Disk, place *volume.Place) {
				mustDo(t, os.WriteFile(place.Target, nil, 0o600))
			},
			want: connector.ErrPrecondition, text: "something that is not a directory is there; remove it",
		},
		"symlink": {
			set: func(t *testing.T, d *Disk, place *volume.Place) {
				other := placeOf(t, d, "other")
				other.ID = place.ID // even its own volume is not reached that way
				publish(t, d, other, sample("1"))
				mustDo(t, os.Symlink(other.Target, place.Target))
			},
			want: connector.ErrInvalid,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			place := placeOf(t, d, "a")
			c.set(t, d, &place)
			before, open := mountsBelow(t, d.kubeletDir), descriptors(t)
			_, err := d.Remove(place)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v; want %v", err, c.want)
			}
			if want := "removing " + place.Target + ": " + c.text; c.text != "" && err.Error() != want {
				t.Errorf("message\n%s\nwant\n%s", err, want)
			}
			if diff := cmp.Diff(before, mountsBelow(t, d.kubeletDir)); diff != "" {
				t.Errorf("mounts changed: %s", diff)
			}
			if _, err := os.Lstat(place.Target); errors.Is(err, fs.ErrNotExist) {
				t.Error("the target is gone")
			}
			if now := descriptors(t); now != open {
				t.Errorf("%d descriptors, %d before", now, open)
			}
		})
	}
}

func TestSymlinksOnTheWayAreRefused(t *testing.T) {
	d := newDisk(t)
	victim := placeOf(t, d, "victim")
	publish(t, d, victim, sample("1"))
	mustDo(t, os.Symlink("victim", d.kubeletDir+"/pods/attacker"))
	place := victim
	place.Target = filepath.Join(d.kubeletDir, "pods/attacker/volumes", csiVolumes, "registry/mount")
	if _, err := os.Stat(place.Target); err != nil {
		t.Fatal(err) // the way exists
	}
	_, published := d.Published(place)
	_, updated := d.Update(place, sample("2"), false)
	_, removed := d.Remove(place)
	_, used := d.Usage(place)
	_, swept := d.Sweep(place, time.Now())
	for what, err := range map[string]error{
		"Publish": d.Publish(place, sample("2")), "Published": published, "Update": updated, "Sweep": swept, "Remove": removed, "Usage": used,
	} {
		if !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("%s: %v; want invalid", what, err)
		}
	}
	if diff := cmp.Diff(asMap(sample("1")), contentOf(t, victim.Target)); diff != "" {
		t.Error(diff)
	}
}

func TestRemoveOrphanNeedsNoID(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "nobody remembers")
	publish(t, d, place, sample("1"))
	for range 2 { // what is gone already counts as removed
		if busy, err := d.RemoveOrphan(place.Target); busy || err != nil {
			t.Fatalf("busy %v, %v", busy, err)
		}
		assertGone(t, place)
	}
}

func TestTheDriversOwnDirectoriesAreNoTargets(t *testing.T) {
	d := newDisk(t)
	own := d.kubeletDir + "/plugins/csi.regcred.dev/state"
	d.reserved = []string{own}
	mustDo(t, os.MkdirAll(own+"/intents", 0o700))
	for _, target := range []string{own, own + "/intents", d.kubeletDir + "/plugins"} {
		place := volume.Place{ID: "a", Target: target, FileMode: 0o444}
		if err := d.Publish(place, sample("1")); !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("publish at %s: %v", target, err)
		}
		if _, err := d.Remove(place); !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("remove at %s: %v", target, err)
		}
	}
	if _, err := os.Stat(own + "/intents"); err != nil {
		t.Error(err)
	}
}

func TestPublishOverALiveVolumeLeavesNothingOfTheOldContent(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	publish(t, d, place, sample("2"))
	names, err := os.ReadDir(place.Target)
	mustDo(t, err)
	generations := 0
	for _, entry := range names {
		if strings.HasPrefix(entry.Name(), generationPrefix) {
			generations++
		}
	}
	if generations != 1 {
		t.Errorf("%d generations", generations)
	}
	remove(t, d, place)
}

// Whether it is remembered which files hold secrets, or has to be found out,
// none is left behind for who has one open.
func TestRemoveCutsEverySecret(t *testing.T) {
	mixed := func(version string) render.Files {
		files := append(sample(version), render.File{Path: "daemon.json", Data: []byte("{}")})
		slices.SortFunc(files, func(a, b render.File) int { return strings.Compare(a.Path, b.Path) })
		return files
	}
	for name, before := range map[string]func(t *testing.T, d *Disk, place volume.Place) *Disk{
		"published": func(_ *testing.T, d *Disk, _ volume.Place) *Disk { return d },
		"changed": func(t *testing.T, d *Disk, place volume.Place) *Disk {
			update(t, d, place, mixed("2"), true, true)
			return d
		},
		"restarted": func(t *testing.T, d *Disk, _ volume.Place) *Disk { return diskAt(t, d.kubeletDir) },
		"restarted and looked at": func(t *testing.T, d *Disk, place volume.Place) *Disk {
			d = diskAt(t, d.kubeletDir)
			assertPublished(t, d, place, true)
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk(t)
			place := placeOf(t, d, "a")
			publish(t, d, place, mixed("1"))
			d = before(t, d, place)
			held := map[string]*os.File{}
			for path := range contentOf(t, place.Target) {
				held[path] = openFile(t, place.Target+"/"+path)
			}
			if busy, err := d.Remove(place); !busy || err != nil {
				t.Fatalf("busy %v, %v", busy, err)
			}
			for path, file := range held {
				if got := readAgain(t, file); got != "" && path != "daemon.json" {
					t.Errorf("%s still shows %q", path, got)
				}
			}
		})
	}
}
