// Package outdir writes a volume's files into a plain directory, all of them
// or none. It knows nothing of mounts and pods, and touches no file that it
// was not asked to write.
package outdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	gopath "path"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// staging is where files wait to be moved to their places. No configuration
// can render a file of this name.
const staging = render.Marker

// Dir is a directory to which this process alone writes.
type Dir struct {
	path string
	root *os.Root
	lock *os.File
	made bool // by Open
	used bool // something may be staged
	kept bool // it holds what was asked for
}

// Open makes the directory when it is missing, for its owner alone, and shows
// that it can be written to. Close it afterwards.
func Open(path string) (_ *Dir, err error) {
	d := &Dir{path: path}
	switch err := os.Mkdir(path, 0o700); {
	case err == nil:
		d.made = true
	case errors.Is(err, fs.ErrExist):
	case errors.Is(err, fs.ErrNotExist):
		return nil, connector.Errorf(connector.ErrPrecondition, "%s: the directory above it does not exist: make it first", path)
	default:
		return nil, refused(path, fmt.Errorf("making the directory: %w", err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.made { // whatever the process's umask takes away
		if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory has to be entered
			return nil, fmt.Errorf("making the directory: %w", err)
		}
	}
	if d.root, err = os.OpenRoot(path); errors.Is(err, fs.ErrNotExist) {
		return nil, connector.Errorf(connector.ErrPrecondition, "%s: the link leads nowhere: make the directory that it names, or name another", path)
	} else if err != nil {
		return nil, refused(path, fmt.Errorf("opening the directory: %w", err))
	}
	if d.lock, err = d.root.Open("."); err != nil {
		return nil, refused(path, fmt.Errorf("opening the directory: %w", err))
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = d.lock.Close() // it was only read
		d.lock = nil
		return nil, connector.Errorf(connector.ErrAborted, "%s: another process writes to it: wait for it, or name another directory", path)
	}
	if err := d.root.RemoveAll(staging); err != nil { // what a killed process left
		return nil, refused(path, fmt.Errorf("preparing the directory: %w", err))
	}
	d.used = true
	if err := private(d.root, staging); err != nil {
		return nil, refused(path, fmt.Errorf("preparing the directory: %w", err))
	}
	return d, nil
}

// refused says what to do when the system does not let files be written.
func refused(path string, err error) error {
	switch {
	case errors.Is(err, unix.EROFS):
		return connector.Errorf(connector.ErrPrecondition, "%s is on a file system that is read-only: name a directory on another", path)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return connector.Errorf(connector.ErrPrecondition, "%s is on a file system without space: make room, or name a directory on another", path)
	case errors.Is(err, fs.ErrPermission):
		return connector.Errorf(connector.ErrPrecondition, "%s cannot be written to by user %d: name a directory of that user (%w)", path, os.Geteuid(), err)
	}
	return err
}

// private makes a directory and what is missing above it for the owner alone,
// whatever the process's umask takes away.
func private(root *os.Root, dir string) error {
	if above := gopath.Dir(dir); above != "." {
		if err := private(root, above); err != nil {
			return err
		}
	}
	switch err := root.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return root.Chmod(dir, 0o700)
}

// OpenToOthers reports whether every user may replace what is written.
func (d *Dir) OpenToOthers() (bool, error) {
	info, err := d.lock.Stat()
	if err != nil {
		return false, fmt.Errorf("asking for the mode of %s: %w", d.path, err)
	}
	return info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0, nil
}

// OnTmpfs reports whether what is written stays in memory.
func (d *Dir) OnTmpfs() (bool, error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(d.lock.Fd()), &s); err != nil {
		return false, fmt.Errorf("asking for the file system of %s: %w", d.path, err)
	}
	return s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC, nil
}

// Close gives the directory up, and removes it when Open made it and nothing
// was written.
func (d *Dir) Close() error {
	var errs []error
	if d.used {
		errs = append(errs, d.root.RemoveAll(staging))
	}
	if d.made && !d.kept {
		errs = append(errs, os.Remove(d.path))
	}
	if d.lock != nil {
		_ = d.lock.Close() // nothing was written through it
	}
	if d.root != nil {
		errs = append(errs, d.root.Close())
	}
	return errors.Join(errs...)
}
