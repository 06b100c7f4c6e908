package tmpfs

import (
	"errors"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// A volume with a program is two mounts, and before Linux 6.15 the second one
// can only be made when the first is at its target. Until both are there its
// marker says that it is ending, so what a crash leaves in between is ended by
// the next Publish or Remove. No pod sees it: its containers start after
// Publish has returned.

// programOf gives the name of the program, if there is one.
func programOf(entries []entry) (name string, ok bool) {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.program })
	if i < 0 {
		return "", false
	}
	return path.Base(entries[i].files[0].Path), true
}

// complete mounts the program in a volume that is at its target, and says that
// the volume lives.
func (d *Disk) complete(mount, program int, id string) error {
	if err := d.equip(mount, program); err != nil {
		return err
	}
	// In this mount namespace alone, as for Remove: pods see theirs.
	if err := setReadOnly(mount, false); err != nil {
		return err
	}
	if err := d.reach("mark", ""); err != nil {
		return err
	}
	if err := root(mount).markLive(id); err != nil {
		return err
	}
	if err := d.reach("protect", ""); err != nil {
		return err
	}
	return setReadOnly(mount, true)
}

// equip mounts the program in a volume that is at its target.
func (d *Disk) equip(mount, program int) error {
	if err := d.reach("move program", ""); err != nil {
		return err
	}
	if err := unix.MoveMount(program, "", mount, programMount, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return doing("mounting the credential helper in the volume", err)
	}
	return nil
}

// markLive ends the marker of a volume that was made with a program.
func (r root) markLive(id string) error {
	fd, err := r.open(markerName, unix.O_WRONLY)
	if err != nil {
		return doing("marking the volume", err)
	}
	defer shut(fd)
	if _, err := unix.Pwrite(fd, []byte(markerOf(id)+markerHelped), 0); err != nil {
		return doing("marking the volume", err)
	}
	return nil
}

// equipAgain gives a living volume back the program that somebody unmounted.
func (d *Disk) equipAgain(place volume.Place, program int) error {
	r, err := d.openLive(place)
	if err != nil {
		return err
	}
	defer r.close()
	equipped, err := isMountRoot(int(r), programMount)
	if err != nil || equipped {
		return err
	}
	return d.equip(int(r), program)
}

// unequip unmounts the program of a volume that is to be unmounted. What it
// leaves, because it is in use, goes with the volume.
func (r root) unequip() error {
	err := unix.Unmount("/proc/self/fd/"+strconv.Itoa(int(r))+"/"+programMount, unix.UMOUNT_NOFOLLOW)
	switch {
	case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBUSY): // EINVAL: no mount
		return nil
	default:
		return doing("unmounting the credential helper", err)
	}
}
