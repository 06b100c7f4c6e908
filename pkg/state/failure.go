package state

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// failure classifies an error of the file system and says what to change.
func failure(doing, path string, onTmpfs bool, err error) error {
	switch {
	case errors.Is(err, connector.ErrPrecondition): // already says everything
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		advice := "free space or inodes on its file system"
		if onTmpfs {
			advice = "delete pods that use this driver, or enlarge the tmpfs that is mounted there (mount -o remount,size=128m,nr_inodes=64k)"
		}
		return connector.Errorf(connector.ErrExhausted, "%s in %s: %w: %s", doing, path, err, advice)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return connector.Errorf(connector.ErrExhausted, "%s in %s: %w: raise the limit of open files", doing, path, err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE):
		return connector.Errorf(connector.ErrUnavailable, "%s in %s: %w: the directory was removed, replaced or unmounted while the driver runs: put it back and restart the driver", doing, path, err)
	case errors.Is(err, unix.EROFS):
		return connector.Errorf(connector.ErrUnavailable, "%s in %s: %w: remount it read-write", doing, path, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return connector.Errorf(connector.ErrUnavailable, "%s in %s: %w: run the driver as root with CAP_SYS_ADMIN and let it own this directory", doing, path, err)
	default:
		return connector.Errorf(connector.ErrUnavailable, "%s in %s: %w", doing, path, err)
	}
}

// strange says which of the driver's own files is something else.
func strange(dir, name string, err error) error {
	if errors.Is(err, errDamaged) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP) {
		return precondition("%s/%s is not what the driver wrote (%w): remove it", dir, name, err)
	}
	return err
}

func precondition(format string, args ...any) error {
	return connector.Errorf(connector.ErrPrecondition, format, args...)
}
