// Package outdir writes a volume's files into a plain directory, all of them
// or none. It knows nothing of mounts and pods, and touches no file that it
// was not asked to write.
package outdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

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
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.root, err = os.OpenRoot(path); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if d.lock, err = d.root.Open("."); err != nil {
		return nil, fmt.Errorf("opening the directory: %w", err)
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = d.lock.Close() // it was only read
		d.lock = nil
		return nil, connector.Errorf(connector.ErrAborted, "%s: another process writes to it: wait for it, or name another directory", path)
	}
	if err := d.root.RemoveAll(staging); err != nil { // what a killed process left
		return nil, fmt.Errorf("preparing the directory: %w", err)
	}
	if err := d.root.Mkdir(staging, 0o700); err != nil {
		return nil, fmt.Errorf("preparing the directory: %w", err)
	}
	return d, nil
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
	if d.lock != nil {
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
