package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// openDirectory opens an absolute path as a directory and creates, with mode
// 0700, what is missing of it. A symbolic link anywhere in the path is
// refused: whoever may replace it would decide where the records go.
func openDirectory(path string) (int, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, precondition("%s: a symbolic link in the path is not followed: write the path that it leads to", path)
	case errors.Is(err, unix.ENOTDIR):
		return -1, precondition("%s: a part of the path is not a directory", path)
	case !errors.Is(err, unix.ENOENT):
		return fd, err
	}
	parent, err := openDirectory(filepath.Dir(path))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	return makeDirectory(parent, filepath.Base(path))
}

// makeDirectory opens a directory in parent, created when it is missing.
func makeDirectory(parent int, name string) (int, error) {
	err := unix.Mkdirat(parent, name, 0o700)
	if err == nil {
		// Without this a power cut could take the directory and what is
		// fsynced inside it. Memory file systems answer at once.
		err = unix.Fsync(parent)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// claim makes sure that only this user can enter the directory. It narrows the
// mode of one that holds nothing but ours; it never takes /var/lib over.
func claim(fd int, path string, ours ...string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if uid := os.Geteuid(); int(stat.Uid) != uid {
		return precondition("%s belongs to uid %d and the driver runs as uid %d: chown it or name another directory", path, stat.Uid, uid)
	}
	if stat.Mode&0o077 == 0 {
		return nil
	}
	if err := holdsOnly(fd, path, ours...); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, 0o700); err != nil {
		return precondition("%s is open to other users (mode %04o) and that cannot be changed (%v): chmod it to 0700", path, stat.Mode&0o7777, err)
	}
	return nil
}

// holdsOnly refuses a directory in which something is not ours.
func holdsOnly(fd int, path string, ours ...string) error {
	names, err := entries(fd)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains(ours, name) || strings.HasSuffix(name, tempSuffix)
	})
	if len(names) > 0 {
		return precondition("%s holds other things (%s): name a directory that only this driver uses", path, strings.Join(names[:min(len(names), 3)], ", "))
	}
	return nil
}

// lock takes an exclusive lock on an open file or directory, without waiting.
// It ends with the descriptor, so also with a killed process.
func lock(fd int, path, holder string) error {
	err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return precondition("%s is in use by another csi-driver%s: stop that one, or give this one a state and a runtime directory of its own", path, holder)
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	return nil
}
