package tmpfs

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// What one volume may hold. The bound protects the node's memory; a page per
// small file and two or three generations fit in it many times.
const (
	sizeLimit  = "4194304"
	inodeLimit = "4096"
)

const mountFlags = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

// errThere says that the volume is at its target already.
var errThere = errors.New("already published")

// Publish makes a complete read-only volume appear at place.Target in one
// step. The target's parent must exist. The volume is finished before the
// target directory is made: until then, an error or a crash leaves nothing to
// clean up, because a detached mount goes away with its descriptor. A volume
// that is at its target already is brought to files instead.
func (d *Disk) Publish(place volume.Place, files render.Files) error {
	access, err := accessOf(place)
	if err != nil {
		return err
	}
	entries, err := arrange(files)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return connector.Errorf(connector.ErrInvalid, "volume %s has no files to show; leave fewer out", place.ID)
	}
	helper := -1
	if name, ok := programOf(entries); ok {
		if helper, err = d.program.clone(name); err != nil {
			return err
		}
		defer shut(helper)
	}
	parent, name, err := d.openParent(place.Target)
	if absent(err) {
		return connector.Errorf(connector.ErrPrecondition, "%s does not exist; the kubelet makes it before it asks for the volume", filepath.Dir(place.Target))
	}
	if err != nil {
		return err
	}
	defer shut(parent)

	mount, err := d.newMount()
	if err != nil {
		return err
	}
	defer shut(mount)
	w := &writer{root: root(mount), access: access, secrets: []string{}, reach: d.reach}
	if err := w.fill(place.ID, entries); err != nil {
		return err
	}
	if err := setReadOnly(mount, true); err != nil {
		return err
	}
	err = d.attach(mount, parent, name, place)
	switch {
	case errors.Is(err, errThere):
		if _, err = d.Update(place, files, true); err == nil && helper >= 0 { // nobody else sweeps what was there
			err = d.equipAgain(place, helper)
		}
		return err
	case err == nil && helper >= 0:
		if err = d.complete(mount, helper, place.ID); err != nil {
			_, undone := d.Remove(place)
			return errors.Join(err, undone)
		}
	}
	if err == nil {
		d.former.forget(place.Target)
		d.see(mount, place, w.secrets)
	}
	return err
}

// newMount makes the tmpfs of a volume, mounted nowhere.
func (d *Disk) newMount() (int, error) {
	return newTmpfs(source, sizeLimit, inodeLimit, d.noswap, mountFlags)
}

// newTmpfs makes a tmpfs that is mounted nowhere.
func newTmpfs(source, size, inodes string, noswap bool, flags int) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, doing("making a tmpfs", err)
	}
	defer shut(fs)
	for _, option := range [...][2]string{{"source", source}, {"mode", "0755"}, {"size", size}, {"nr_inodes", inodes}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, doing("making a tmpfs with "+option[0], err)
		}
	}
	if noswap {
		if err := unix.FsconfigSetFlag(fs, "noswap"); err != nil {
			return -1, doing("making a tmpfs with noswap", err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, doing("making a tmpfs", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, flags)
	if err != nil {
		return -1, doing("mounting a tmpfs", err)
	}
	return mount, nil
}

// fill writes the whole of a new volume.
func (w *writer) fill(id string, entries []entry) error {
	ending := markerLive
	if _, ok := programOf(entries); ok {
		ending = "" // until the program is there
	}
	if err := w.mark(id, ending); err != nil {
		return err
	}
	generation, err := w.content(entries)
	if err != nil {
		return err
	}
	if err := w.link(generation, dataLink); err != nil {
		return err
	}
	return w.links(entries, nil)
}

// setReadOnly changes one mount, not the tmpfs behind it. It fails with EBUSY
// while any process has a file of the mount open for writing.
func setReadOnly(mount int, on bool) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if !on {
		attr = unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	}
	if err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return doing("changing the mount's read-only flag", err)
	}
	return nil
}

// attach moves a finished mount onto the target.
func (d *Disk) attach(mount, parent int, name string, place volume.Place) error {
	if err := d.reach("mkdir target", ""); err != nil {
		return err
	}
	err := unix.Mkdirat(parent, name, 0o750)
	made := err == nil
	if errors.Is(err, unix.EEXIST) {
		err = d.vacate(parent, name, place)
		if errors.Is(err, errThere) {
			return err
		}
	}
	if err == nil {
		err = d.reach("move", "")
	}
	if err == nil {
		// A symlink put at name meanwhile is not followed, but refused.
		err = unix.MoveMount(mount, "", parent, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err == nil {
		return nil
	}
	if made {
		_ = unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) // the first error tells more
	}
	if errors.Is(err, unix.ENOSPC) {
		return connector.Errorf(connector.ErrExhausted, "mounting at %s: %w: the node's disk is full or its limit of mounts reached (sysctl fs.mount-max)", place.Target, err)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTDIR) { // a symlink, or a file
		return connector.Errorf(connector.ErrPrecondition, "mounting at %s: the directory was replaced meanwhile: %w", place.Target, err)
	}
	return doing("mounting at "+place.Target, err)
}

// vacate makes sure that an existing target is an empty directory, and ends
// this volume where its Remove was cut short.
func (d *Disk) vacate(parent int, name string, place volume.Place) error {
	for {
		kind, err := d.look(parent, name, place, endingVolume)
		if err != nil {
			return err
		}
		switch kind {
		case liveVolume:
			return errThere
		case endingVolume:
			if _, err := unmount(parent, name); err != nil {
				return err
			}
		case plainDirectory:
			names, err := root(parent).names(name)
			if err == nil && len(names) > 0 {
				err = connector.Errorf(connector.ErrPrecondition, "the directory holds files of someone else (%s …); remove them", names[0])
			}
			return err
		case otherVolume:
			return connector.Errorf(connector.ErrConflict, "another volume of this driver is mounted there")
		default:
			return kind.refusal()
		}
	}
}
