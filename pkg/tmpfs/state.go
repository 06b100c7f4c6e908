package tmpfs

import (
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Published reports whether this volume is at its target now.
func (d *Disk) Published(place volume.Place) (bool, error) {
	rel, err := d.below(place.Target)
	if err != nil {
		return false, err
	}
	switch known, program, _, err := d.seen.alive(d.root, rel+"/"+markerName, place); {
	case absent(err):
		return false, nil
	case known && program:
		return isMountRoot(d.root, rel+"/"+programMount)
	case known:
		return true, nil
	}
	fd, err := d.openTarget(place.Target)
	if absent(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer shut(fd)
	kind, err := occupantOf(fd, place.ID)
	if err != nil || kind != liveVolume {
		return false, err
	}
	if program := d.see(fd, place, nil); program {
		return isMountRoot(fd, programMount)
	}
	return true, nil
}

// see remembers the mount that a descriptor shows as that of a living volume,
// and which files hold secrets, nil where that is not known. It reports whether
// the volume has a program.
func (d *Disk) see(fd int, place volume.Place, secrets []string) (program bool) {
	mount, live, program, err := seenAt(fd, markerName)
	if err == nil && live && mount != 0 {
		d.seen.remember(place, mount, secrets)
	}
	return program
}

// occupantOf tells what a descriptor of a target shows, and which files of a
// living volume hold secrets, nil where that is not remembered.
func (d *Disk) occupantOf(fd int, place volume.Place) (kind occupant, secrets []string, err error) {
	if known, _, secrets, _ := d.seen.alive(fd, markerName, place); known {
		return liveVolume, secrets, nil
	}
	kind, err = occupantOf(fd, place.ID)
	return kind, nil, err
}

// Usage returns what statfs says of a published volume.
func (d *Disk) Usage(place volume.Place) (volume.Usage, error) {
	r, err := d.openLive(place)
	if err != nil {
		return volume.Usage{}, err
	}
	defer r.close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(r), &fs); err != nil {
		return volume.Usage{}, doing("measuring "+place.Target, err)
	}
	total, free := int64(fs.Blocks)*fs.Bsize, int64(fs.Bfree)*fs.Bsize
	return volume.Usage{
		TotalBytes: total, FreeBytes: free, UsedBytes: total - free,
		TotalInodes: int64(fs.Files), FreeInodes: int64(fs.Ffree), UsedInodes: int64(fs.Files - fs.Ffree),
	}, nil
}
