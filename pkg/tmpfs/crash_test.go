package tmpfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// victimVariable holds the orders of a test binary that is to be killed.
const victimVariable = "REGCRED_TMPFS_VICTIM"

// victim is what a child process does and where it dies.
type victim struct {
	KubeletDir string
	Place      volume.Place
	Operation  string
	Step       int  // kill -9 before this step, counted from 0
	Helped     bool // the volume has a program
}

var (
	before = append(filesOf("dropped", "x", "changed/f", "1"), sample("1")...)
	after  = append(filesOf("added", "x", "changed/f", "2", "new/f", "y"), sample("2")...)
)

// beVictim is the child's main.
func beVictim(order string) error {
	var v victim
	if err := json.Unmarshal([]byte(order), &v); err != nil {
		return err
	}
	d, err := New(Options{KubeletDir: v.KubeletDir, Program: programFile, ProgramDir: programDirIn(v.KubeletDir)})
	if err != nil {
		return err
	}
	d.atStep(v.Step, func() error { return unix.Kill(os.Getpid(), unix.SIGKILL) })
	before, after := before, after
	if v.Helped {
		before, after = withHelper(before), withHelper(after)
	}
	switch v.Operation {
	case "publish":
		err = d.Publish(v.Place, before)
	case "update":
		_, err = d.Update(v.Place, after, false)
	case "purge":
		_, err = d.Update(v.Place, after, true)
	case "sweep":
		_, err = d.Sweep(v.Place, time.Now())
	case "remove":
		_, err = d.Remove(v.Place)
	}
	return err
}

// killed runs an operation in a child and reports whether it died on the way.
func killed(t *testing.T, v victim) bool {
	t.Helper()
	order, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Env = append(os.Environ(), victimVariable+"="+string(order))
	out, err := c.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == -1 {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return false
}

// TestKilled kills a process with -9 before each step of each operation, and
// looks at what a fresh process finds.
func TestKilled(t *testing.T) {
	for _, c := range []struct {
		operation string
		prepare   func(t *testing.T, d *Disk, place volume.Place)
		leastStep int
		published bool           // the volume stays published
		either    []render.Files // then it shows one of these, whole
	}{
		{"publish", func(*testing.T, *Disk, volume.Place) {}, 20, false, nil},
		{"update", func(t *testing.T, d *Disk, place volume.Place) { publish(t, d, place, before) }, 16, true, []render.Files{before, after}},
		{"purge", func(t *testing.T, d *Disk, place volume.Place) { publish(t, d, place, before) }, 18, true, []render.Files{before, after}},
		{"sweep", func(t *testing.T, d *Disk, place volume.Place) {
			publish(t, d, place, before)
			update(t, d, place, after, false, true)
		}, 2, true, []render.Files{after}},
		{"remove", func(t *testing.T, d *Disk, place volume.Place) { publish(t, d, place, before) }, 6, false, nil},
	} {
		t.Run(c.operation, func(t *testing.T) {
			d := newDisk(t)
			for step := 0; ; step++ {
				place := placeOf(t, d, fmt.Sprint(step))
				c.prepare(t, d, place)
				if !killed(t, victim{KubeletDir: d.kubeletDir, Place: place, Operation: c.operation, Step: step}) {
					if step < c.leastStep {
						t.Errorf("only %d steps", step)
					}
					return
				}
				d := diskAt(t, d.kubeletDir) // with no memory of what was there
				assertPublished(t, d, place, c.published)
				if c.either != nil {
					assertOneOf(t, contentOf(t, place.Target), c.either)
					sweep(t, d, place)
					assertOneOf(t, contentOf(t, place.Target), c.either)
				}
				assertServes(t, d, place, step)
				remove(t, d, place)
			}
		})
	}
}

func assertOneOf(t *testing.T, got map[string]string, either []render.Files) {
	t.Helper()
	var diffs string
	for _, files := range either {
		diff := cmp.Diff(asMap(files), got)
		if diff == "" {
			return
		}
		diffs += diff
	}
	t.Errorf("neither old nor new: %s", diffs)
}

// assertServes publishes again on what was found, and compares the outcome
// with an undisturbed volume.
func assertServes(t *testing.T, d *Disk, place volume.Place, step int) {
	t.Helper()
	publish(t, d, place, after)
	sweep(t, d, place)
	if published, err := d.Published(place); !published || err != nil {
		t.Errorf("step %d: published %v, %v", step, published, err)
	}
	if diff := cmp.Diff(asMap(after), contentOf(t, place.Target)); diff != "" {
		t.Errorf("step %d: %s", step, diff)
	}
	fresh := placeOf(t, d, "fresh")
	publish(t, d, fresh, after)
	assertSameSize(t, d, place.Target, fresh.Target)
	remove(t, d, fresh)
	if mounts := mountsBelow(t, place.Target); len(mounts) != 1 || mounts[0].MountOptions[0] != "ro" {
		t.Errorf("step %d: mounts %v", step, mounts)
	}
}
