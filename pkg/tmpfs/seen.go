package tmpfs

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// seen remembers under which mount id each volume was last found alive at its
// target, and which of its files hold secrets. The kernel never gives such an
// id twice (statx(2), STATX_MNT_ID_UNIQUE, Linux 6.8), so where it is still
// there, one call answers what else takes opening the volume, reading its
// marker and listing its directories.
type seen struct {
	mu sync.Mutex
	at map[string]sighting // by target
}

// sighting is which volume was seen, under which mount id.
type sighting struct {
	volume string
	mount  uint64
	// secrets are what Remove has to see to: paths of the files that hold any,
	// and the mount of the program; nil where they are not known.
	secrets []string
}

// alive reports whether the marker at a path is that of the volume, in use, as
// remembered, whether the volume has a program, and which files hold secrets, if
// that is known. False means that nobody can tell; the error is the kernel's.
func (s *seen) alive(dir int, marker string, place volume.Place) (known, program bool, secrets []string, err error) {
	mount, live, program, err := seenAt(dir, marker)
	if err != nil || !live {
		return false, false, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.at[place.Target]
	known = ok && last.volume == place.ID && last.mount == mount
	return known, program, last.secrets, nil
}

func (s *seen) remember(place volume.Place, mount uint64, secrets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		s.at = map[string]sighting{}
	}
	s.at[place.Target] = sighting{place.ID, mount, secrets}
}

// changes forgets which files of a volume hold secrets.
func (s *seen) changes(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.at[target]; ok {
		last.secrets = nil
		s.at[target] = last
	}
}

func (s *seen) forget(target string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, target)
}

// seenAt looks at the marker below a path: under which mount id it is there,
// 0 where the kernel does not tell, whether it says that the volume lives, and
// whether with a program.
// The path is not confined: what it leads to only ever counts when it is the
// mount that a confined resolution found.
func seenAt(dir int, path string) (mount uint64, live, program bool, err error) {
	var stat unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(dir, path, flags, unix.STATX_SIZE|unix.STATX_MNT_ID_UNIQUE, &stat); err != nil {
		return 0, false, false, err
	}
	if stat.Mask&unix.STATX_MNT_ID_UNIQUE != 0 {
		mount = stat.Mnt_id
	}
	program = stat.Size == markerHelpedSize
	return mount, program || stat.Size == markerSize, program, nil
}
