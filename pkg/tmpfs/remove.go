package tmpfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Remove cuts the secrets, unmounts this volume as often as it is there, and
// removes the target directory. What is gone already counts as removed; what
// is not this volume's is left alone and named in the error. Secrets are cut
// although the mount goes, because a subPath mount, another namespace or an
// open descriptor may keep the files alive.
func (d *Disk) Remove(place volume.Place) (busy bool, err error) {
	return d.remove(place, liveVolume, endingVolume)
}

// RemoveOrphan does to whatever volume of this driver is at a target what
// Remove does to a known one.
func (d *Disk) RemoveOrphan(target string) (busy bool, err error) {
	return d.remove(volume.Place{Target: target}, liveVolume, endingVolume, otherVolume)
}

// remove ends the volumes that are one of ends.
func (d *Disk) remove(place volume.Place, ends ...occupant) (busy bool, err error) {
	defer func() {
		if err == nil {
			d.seen.forget(place.Target)
			d.former.forget(place.Target)
		}
	}()
	parent, name, err := d.openParent(place.Target)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer shut(parent)
	for {
		kind, err := d.look(parent, name, place, ends...)
		if absent(err) {
			return busy, nil
		}
		if err != nil {
			return busy, err
		}
		switch {
		case slices.Contains(ends, kind):
			detached, err := unmount(parent, name)
			busy = busy || detached
			if err != nil {
				return busy, fmt.Errorf("unmounting %s: %w", place.Target, err)
			}
			if err := d.reach("rmdir", ""); err != nil {
				return busy, err
			}
			if unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) == nil {
				return busy, nil
			}
			// Another mount, or a file, was below: look again.
		case kind == plainDirectory:
			return busy, removeDirectory(parent, name, place.Target)
		default:
			return busy, fmt.Errorf("removing %s: %w", place.Target, kind.refusal())
		}
	}
}

// look tells what is at the target and empties its files where it is one of
// ends. No descriptor of the mount is left, for it would keep it busy.
func (d *Disk) look(parent int, name string, place volume.Place, ends ...occupant) (occupant, error) {
	fd, err := open(parent, name, unix.O_PATH, confined)
	if err != nil {
		return 0, resolving(place.Target, err)
	}
	defer shut(fd)
	kind, secrets, err := d.occupantOf(fd, place)
	if err == nil && slices.Contains(ends, kind) {
		d.seen.forget(place.Target)
		err = d.cutVolume(root(fd), place.ID, secrets)
	}
	return kind, err
}

// cutVolume empties the files that hold secrets, or all where it is not known
// which do. It makes the mount itself writable instead of a clone, whose end
// would cost as much as the unmount to come: the pod is gone, and whoever still
// sees the volume does so through a mount of its own.
func (d *Disk) cutVolume(r root, id string, secrets []string) (err error) {
	if err := setReadOnly(int(r), false); err != nil {
		return err
	}
	if err := d.reach("unmark", ""); err != nil {
		return err
	}
	if err := r.unmark(id); err != nil {
		return err
	}
	if secrets == nil {
		if secrets, err = r.names("."); err != nil {
			return err
		}
	}
	for _, name := range secrets {
		if !strings.HasPrefix(name, generationPrefix) && !strings.HasPrefix(name, directoryPrefix) {
			continue // the marker, a link or the program
		}
		if err := d.reach("cut ", name); err != nil {
			return err
		}
		if err := r.cut(name, false); err != nil {
			return err
		}
	}
	if slices.Contains(secrets, programMount) {
		if err := d.reach("unmount program", ""); err != nil {
			return err
		}
		if err := r.unequip(); err != nil {
			return err
		}
	}
	return d.reach("unmount", "")
}

// unmark turns a live volume into an ending one, in one step.
func (r root) unmark(id string) error {
	fd, err := r.open(markerName, unix.O_WRONLY)
	if err != nil {
		return doing("unmarking the volume", err)
	}
	defer shut(fd)
	if err := unix.Ftruncate(fd, int64(len(markerOf(id)))); err != nil {
		return doing("unmarking the volume", err)
	}
	return nil
}

// unmount takes the topmost mount off parent/name, from under its users if it
// must. umount2 knows no descriptors: the magic link stands for the parent,
// and name, which may not be a symlink, is the only element resolved.
func unmount(parent int, name string) (busy bool, err error) {
	path := "/proc/self/fd/" + strconv.Itoa(parent) + "/" + name
	err = unix.Unmount(path, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		busy = true
		err = unix.Unmount(path, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if err != nil {
		return busy, doing("unmounting", err)
	}
	return busy, nil
}

func removeDirectory(parent int, name, target string) error {
	err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("removing %s: %w", target, notDirectory.refusal())
	case errors.Is(err, unix.ENOTEMPTY):
		return connector.Errorf(connector.ErrPrecondition, "removing %s: the directory holds files of someone else; remove them", target)
	default:
		return doing("removing "+target, err)
	}
}

// refusal says why a target is not touched.
func (o occupant) refusal() error {
	what := "something that is not a directory is there; remove it"
	switch o { //nolint:exhaustive // the others are not refused
	case foreignMount:
		what = "something that is not this driver's is mounted there; unmount it"
	case otherVolume:
		what = "another volume of this driver is mounted there; unpublish that one first"
	}
	return connector.Errorf(connector.ErrPrecondition, "%s", what)
}
