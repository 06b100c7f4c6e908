package tmpfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// source names the driver in the mount table.
const source = "csi.regcred.dev"

const (
	markerName = "." + source
	markerMode = 0o400
	// markerLive ends the marker of a volume in use. Remove cuts it off first,
	// so that a volume whose content is gone never counts as published.
	markerLive = " live\n"
	// markerHelped does so for a volume with a program, which is told by the
	// marker's length.
	markerHelped = " live with program\n"
	// markerSize is the length of a living volume's marker.
	markerSize       = uint64(len(source) + 1 + 2*sha256.Size + len(markerLive))
	markerHelpedSize = markerSize - uint64(len(markerLive)) + uint64(len(markerHelped))
)

// markerOf is what the marker of a volume says, without its ending.
func markerOf(id string) string { return source + " " + hashOf(id) }

func hashOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// occupant is what stands at a target.
type occupant int

const (
	plainDirectory occupant = iota
	notDirectory
	liveVolume   // the volume asked for, in use
	endingVolume // the volume asked for; its Remove was cut short
	otherVolume  // another volume of this driver
	foreignMount
)

// occupantOf tells what a descriptor of a target shows.
func occupantOf(fd int, id string) (occupant, error) {
	f, err := inspect(fd)
	if err != nil || f.kind != otherVolume {
		return f.kind, err
	}
	own := markerOf(id)
	switch {
	case f.marker != own && f.marker != own+markerLive && f.marker != own+markerHelped:
		return otherVolume, nil
	case f.marker != own && f.readOnly:
		return liveVolume, nil
	default: // Remove begins by making it writable
		return endingVolume, nil
	}
}

// found is what a descriptor shows, whoever asks.
type found struct {
	kind     occupant // otherVolume for any volume of this driver
	marker   string
	readOnly bool
}

// inspect tells a mount of this driver from everything else.
func inspect(fd int) (found, error) {
	var stat unix.Statx_t
	// Without DONT_SYNC a dead network or FUSE mount would fail or hang here.
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &stat); err != nil {
		return found{}, doing("inspecting the target", err)
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return found{kind: notDirectory}, nil
	}
	if stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return found{kind: plainDirectory}, nil
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return found{kind: foreignMount}, nil //nolint:nilerr // a mount that cannot say what it is is none of ours
	}
	marker, err := readMarker(fd)
	if err != nil {
		return found{}, err
	}
	if !strings.HasPrefix(marker, source+" ") {
		return found{kind: foreignMount}, nil
	}
	return found{kind: otherVolume, marker: marker, readOnly: fs.Flags&unix.ST_RDONLY != 0}, nil
}

// readMarker gives the marker's text, empty when there is none that root
// alone could have written.
func readMarker(dir int) (string, error) {
	fd, err := unix.Openat(dir, markerName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case absent(err), errors.Is(err, unix.ELOOP):
		return "", nil
	case err != nil:
		return "", doing("reading the marker", err)
	}
	defer shut(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", doing("reading the marker", err)
	}
	if stat.Uid != 0 || stat.Mode != unix.S_IFREG|markerMode {
		return "", nil
	}
	var text [128]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return "", doing("reading the marker", err)
	}
	return string(text[:n]), nil
}

// openLive opens the root of a published volume. The error wraps
// connector.ErrNotFound when the volume is not at its target.
func (d *Disk) openLive(place volume.Place) (root, error) {
	fd, err := d.openTarget(place.Target)
	if absent(err) {
		return -1, gone(place)
	}
	if err != nil {
		return -1, err
	}
	kind, _, err := d.occupantOf(fd, place)
	if err == nil && kind != liveVolume {
		err = gone(place)
	}
	if err != nil {
		shut(fd)
		return -1, err
	}
	return root(fd), nil
}

func gone(place volume.Place) error {
	return connector.Errorf(connector.ErrNotFound, "volume %s is not mounted at %s", place.ID, place.Target)
}
