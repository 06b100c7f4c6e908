package tmpfs

import (
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Update switches a published volume to files in one step. Equal content is
// told by reading it, and not written. On error the old content stays in
// force. The error wraps connector.ErrNotFound when the volume is not at its
// target.
func (d *Disk) Update(place volume.Place, files render.Files, purge bool) (changed bool, err error) {
	access, err := accessOf(place)
	if err != nil {
		return false, err
	}
	entries, err := arrange(files)
	if err != nil {
		return false, err
	}
	r, err := d.openLive(place)
	if err != nil {
		return false, err
	}
	defer r.close()
	same, err := r.compare(entries, access)
	if err != nil {
		return false, err
	}
	if !same {
		d.seen.changes(place.Target)
		changed, err = d.rewrite(r, place.Target, entries, access)
		if purge && errors.Is(err, connector.ErrExhausted) {
			// Withdrawn secrets must go even from a full volume.
			if err = d.sweep(r, nil); err == nil {
				changed, err = d.rewrite(r, place.Target, entries, access)
			}
		}
	}
	if purge && err == nil {
		if err = d.sweep(r, nil); err == nil {
			d.former.forget(place.Target)
		}
	}
	return changed, err
}

// compare reports whether the generation in force has this access and just
// these entries. It notes the directories that can be carried over.
func (r root) compare(entries []entry, access access) (bool, error) {
	generation, err := r.generation()
	if err != nil {
		return false, err
	}
	n, same := 0, true
	for i := range entries {
		e := &entries[i]
		n += len(e.files)
		if e.dir {
			if e.carried, err = r.carry(generation, e, access); err != nil {
				return false, err
			}
			same = same && e.carried != ""
		} else if same {
			if same, err = r.holds(generation+"/"+e.name, e.files[0].Data); err != nil {
				return false, err
			}
		}
	}
	// Every file is there with equal content; the count rules out a further one.
	return same && strings.HasPrefix(generation, access.shape(generationPrefix, n)), nil
}

// carry names the directory of the generation that equals the entry, if any.
func (r root) carry(generation string, e *entry, access access) (string, error) {
	directory, err := r.directory(generation, e.name)
	if err == nil && e.program && directory == programMount {
		return directory, nil
	}
	if err != nil || !strings.HasPrefix(directory, access.shape(directoryPrefix, len(e.files))) {
		return "", err
	}
	for _, f := range e.files {
		same, err := r.holds(directory+f.Path[len(e.name):], f.Data)
		if err != nil || !same {
			return "", err
		}
	}
	return directory, nil
}

// rewrite writes a generation and reports whether it is in force.
func (d *Disk) rewrite(r root, target string, entries []entry, access access) (bool, error) {
	before, err := r.generation()
	if err != nil {
		return false, err
	}
	clone, err := r.writable()
	if err != nil {
		return false, err
	}
	defer clone.close()
	there, err := clone.names(".")
	if err != nil {
		return false, err
	}
	w := &writer{root: clone, access: access, reach: d.reach}
	generation, err := w.content(entries)
	if err == nil {
		err = w.links(entries, there)
	}
	if err == nil {
		err = w.switchTo(generation)
	}
	if err != nil {
		w.undo()
		return false, err
	}
	d.former.add(target, before, time.Now().Round(0))
	if err := d.reach("drop links", ""); err != nil {
		return true, err
	}
	return true, clone.dropLinks(there, entries)
}

// dropLinks removes names at the root that no entry has any more. They lead
// nowhere since the switch.
func (r root) dropLinks(names []string, entries []entry) error {
	for _, name := range names {
		if strings.HasPrefix(name, reserved) || name == markerName ||
			slices.ContainsFunc(entries, func(e entry) bool { return e.name == name }) {
			continue
		}
		if err := r.cut(name, true); err != nil {
			return err
		}
	}
	return nil
}

// writable clones the mount of a volume and makes the clone writable. The
// mount that pods see stays read-only, and the clone ends with its descriptor.
func (r root) writable() (root, error) {
	clone, err := unix.OpenTree(int(r), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, doing("cloning the volume's mount", err)
	}
	if err := setReadOnly(clone, false); err != nil {
		shut(clone)
		return -1, err
	}
	return root(clone), nil
}

// Sweep truncates and removes whatever is not in force: content that was
// superseded before, and what a crash left half-written. Left is since when
// the oldest of the rest is superseded, zero when there is none.
func (d *Disk) Sweep(place volume.Place, before time.Time) (left time.Time, err error) {
	r, err := d.openLive(place)
	if err != nil {
		return time.Time{}, err
	}
	defer r.close()
	young, left := d.former.after(place.Target, before)
	return left, d.sweep(r, young)
}

// sweep spares the generations that are young, and what they lead to.
func (d *Disk) sweep(r root, young []string) error {
	names, err := r.superseded(young)
	if err != nil || len(names) == 0 {
		return err
	}
	clone, err := r.writable()
	if err != nil {
		return err
	}
	defer clone.close()
	for _, name := range names {
		if err := d.reach("sweep ", name); err != nil {
			return err
		}
		if err := clone.cut(name, true); err != nil {
			return err
		}
	}
	return nil
}
