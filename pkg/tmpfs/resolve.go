package tmpfs

import (
	"errors"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// confined keeps a resolution below its starting directory and off every
// symlink, whatever a pod puts in the way.
const confined = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// open is openat2. The kernel answers EAGAIN when a rename elsewhere raced
// with a confined resolution.
func open(dir int, path string, flags, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	var fd int
	var err error
	for range 100 {
		fd, err = unix.Openat2(dir, path, &how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}

// shut closes a descriptor to which nothing was written, or whose writes
// reported their errors themselves, as tmpfs does.
func shut(fd int) { _ = unix.Close(fd) }

// below makes target relative to the kubelet directory.
func (d *Disk) below(target string) (string, error) {
	target = filepath.Clean(target)
	rel, ok := below(target, d.kubeletDir)
	if !ok || rel == "" {
		return "", connector.Errorf(connector.ErrInvalid, "target %q is not below the kubelet directory %s (--kubelet-dir)", target, d.kubeletDir)
	}
	for _, dir := range d.reserved {
		if within(target, dir) || within(dir, target) {
			return "", connector.Errorf(connector.ErrInvalid, "target %q overlaps %s, which is the driver's own", target, dir)
		}
	}
	return rel, nil
}

// within reports whether path is dir or lies below it.
func within(path, dir string) bool {
	_, ok := below(path, dir)
	return ok
}

// below returns the path from dir on, empty for dir itself; both are clean.
func below(path, dir string) (rel string, ok bool) {
	rel, ok = strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	if !ok || rel == "" {
		return "", ok
	}
	return strings.CutPrefix(rel, "/")
}

// openTarget opens what is at the target, on top of all mounts there. The
// error is the kernel's where the path leads nowhere (see absent).
func (d *Disk) openTarget(target string) (int, error) {
	rel, err := d.below(target)
	if err != nil {
		return -1, err
	}
	fd, err := open(d.root, rel, unix.O_PATH, confined)
	if err != nil {
		return -1, resolving(target, err)
	}
	return fd, nil
}

// openParent opens the directory that holds the target, and gives the
// target's name in it.
func (d *Disk) openParent(target string) (fd int, name string, err error) {
	rel, err := d.below(target)
	if err != nil {
		return -1, "", err
	}
	dir, name := filepath.Split(rel)
	if fd, err = open(d.root, "./"+dir, unix.O_PATH|unix.O_DIRECTORY, confined); err != nil {
		return -1, "", resolving(filepath.Dir(target), err)
	}
	return fd, name, nil
}
