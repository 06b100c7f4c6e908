package tmpfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// doing says what a system call was for, and gives its error the class that
// callers act on.
func doing(what string, err error) error {
	switch {
	case errors.Is(err, unix.ENAMETOOLONG):
		return connector.Errorf(connector.ErrInvalid, "%.200s: %w", what, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return connector.Errorf(connector.ErrExhausted, "%s: %w", what, err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return connector.Errorf(connector.ErrExhausted, "%s: %w: raise the limit of open files", what, err)
	case errors.Is(err, unix.ENOMEM):
		return connector.Errorf(connector.ErrExhausted, "%s: %w: raise the driver's memory limit", what, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

// writing is doing, for what happens inside a volume.
func writing(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return connector.Errorf(connector.ErrExhausted, "writing %s: %w: a volume holds %s bytes in %s files, old and new content together: ask for fewer configurations, or make the Secret or the CA bundles smaller",
			path, err, sizeLimit, inodeLimit)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("writing %s: %w: is the volume's group known in the driver's user namespace?", path, err)
	default:
		return doing("writing "+path, err)
	}
}

// resolving classifies the errors of path resolution.
func resolving(path string, err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return connector.Errorf(connector.ErrInvalid, "%s leads through a symlink, which is refused below the kubelet directory", path)
	case errors.Is(err, unix.EINVAL): // openat2 has nothing else against our flags
		return connector.Errorf(connector.ErrInvalid, "%.200q holds a zero byte and is no path", path)
	case errors.Is(err, unix.EXDEV):
		return connector.Errorf(connector.ErrInvalid, "%s leads out of the kubelet directory", path)
	default:
		return doing("opening "+path, err)
	}
}

// absent reports that a path leads nowhere.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}
