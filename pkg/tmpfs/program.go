package tmpfs

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	// programSource names the copy in the mount table. It differs from that of
	// volumes, among which it does not count.
	programSource = "regcred-helper"
	// programMount is where a volume that asks for the program has it mounted:
	// a name of its own, to which the one that pods use is a link.
	programMount = reserved + "program"
	// programLimit is far more than the program has.
	programLimit  = 16 << 20
	programInodes = "8"
	programMode   = 0o555
)

// program keeps the one copy of the program in memory that all volumes of the
// node show: a tmpfs of its own, read-only, because what else lies in the same
// one could be opened by handle from a privileged pod. It is the only place of
// a volume where something can be executed.
type program struct {
	file string // on disk
	dir  string // where the copy is mounted, which only root can enter

	mu    sync.Mutex // held while the copy is made, for which others that need it have to wait
	mount int        // descriptor of the copy; 0 = not looked for yet
}

// clone gives a mount of the copy, in which the program has this name, that is
// attached nowhere. A volume that has it keeps it, whatever becomes of the copy.
func (p *program) clone(name string) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mount != 0 {
		clone, err := cloneOf(p.mount)
		if !errors.Is(err, unix.EINVAL) { // somebody has unmounted it
			return clone, err
		}
		p.forget()
	}
	mount, err := p.open(name)
	if err != nil {
		return -1, err
	}
	p.mount = mount
	return cloneOf(mount)
}

// cloneOf keeps the clone apart from what happens to other mounts of the copy.
func cloneOf(mount int) (int, error) {
	clone, err := unix.OpenTree(mount, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, doing("cloning the credential helper's mount", err)
	}
	if err := unix.MountSetattr(clone, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Propagation: unix.MS_PRIVATE}); err != nil {
		shut(clone)
		return -1, doing("cloning the credential helper's mount", err)
	}
	return clone, nil
}

// open finds the copy that an earlier run left, or replaces it.
func (p *program) open(name string) (int, error) {
	data, err := p.read()
	if err != nil {
		return -1, err
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return -1, doing("making the directory for the credential helper", err)
	}
	for {
		dir, err := open(unix.AT_FDCWD, p.dir, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
		if err != nil {
			return -1, resolving(p.dir, err)
		}
		mounted, same, err := p.compare(root(dir), name, data)
		if same {
			if err = freeze(dir); err == nil {
				return dir, nil
			}
		}
		if err == nil && !mounted {
			defer shut(dir)
			return p.make(dir, name, data)
		}
		shut(dir)
		if err == nil {
			err = unix.Unmount(p.dir, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
		}
		if err != nil {
			return -1, doing("replacing the credential helper", err)
		}
	}
}

// read gives the program as it is on disk.
func (p *program) read() ([]byte, error) {
	const advice = "build it beside csi-driver, or name it by --credential-helper"
	info, err := os.Stat(p.file)
	if err != nil {
		return nil, connector.Errorf(connector.ErrPrecondition, "the credential helper that docker-helper brings cannot be read: %w: %s", err, advice)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > programLimit {
		return nil, connector.Errorf(connector.ErrPrecondition, "%s is no credential helper (%s, %d bytes): %s", p.file, info.Mode(), info.Size(), advice)
	}
	data, err := os.ReadFile(p.file)
	if err != nil {
		return nil, connector.Errorf(connector.ErrPrecondition, "the credential helper that docker-helper brings cannot be read: %w: %s", err, advice)
	}
	return data, nil
}

// compare tells whether something is mounted at the copy's place, and whether
// it is this program, read-only.
func (p *program) compare(dir root, name string, data []byte) (mounted, same bool, err error) {
	if mounted, err = isMountRoot(int(dir), ""); err != nil || !mounted {
		return mounted, false, err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(dir), &fs); err != nil {
		return true, false, doing("inspecting the credential helper's mount", err)
	}
	const flags = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV
	if fs.Type != unix.TMPFS_MAGIC || fs.Flags&flags != flags || fs.Flags&unix.ST_NOEXEC != 0 {
		return true, false, nil
	}
	same, err = dir.holds(name, data)
	return true, same, err
}

// make mounts a new copy, complete, and returns its descriptor.
func (p *program) make(dir int, name string, data []byte) (mount int, err error) {
	mount, err = newTmpfs(programSource, strconv.Itoa(programLimit), programInodes, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, err
	}
	w := &writer{root: root(mount), reach: func(string, string) error { return nil }}
	if err = w.create(name, data, 0, programMode); err == nil {
		err = setReadOnly(mount, true)
	}
	if err == nil {
		err = freeze(mount)
	}
	if err == nil {
		err = unix.MoveMount(mount, "", dir, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	}
	if err != nil {
		shut(mount)
		return -1, doing("mounting the credential helper at "+p.dir, err)
	}
	return mount, nil
}

// freeze makes the tmpfs behind a mount read-only, so that no mount of it can
// be made writable by itself, also not by a pod that may change its own mounts.
func freeze(mount int) error {
	fs, err := unix.Fspick(mount, "", unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH)
	if err != nil {
		return doing("protecting the credential helper", err)
	}
	defer shut(fs)
	if err = unix.FsconfigSetFlag(fs, "ro"); err == nil {
		err = unix.FsconfigReconfigure(fs)
	}
	if err != nil {
		return doing("protecting the credential helper", err)
	}
	return nil
}

// forget gives the descriptor back. The copy stays mounted, for the next run.
func (p *program) forget() {
	if p.mount != 0 {
		shut(p.mount)
		p.mount = 0
	}
}

// remove ends the copy, also one that an earlier run left.
func (p *program) remove() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget()
	for {
		err := os.Remove(p.dir)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, unix.EBUSY):
			return doing("removing the credential helper's directory", err)
		}
		if err := unix.Unmount(p.dir, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH); err != nil {
			return doing("unmounting the credential helper", err)
		}
	}
}

// isMountRoot asks the kernel, without touching a file system that may hang.
func isMountRoot(dir int, path string) (bool, error) {
	var stat unix.Statx_t
	const flags = unix.AT_EMPTY_PATH | unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(dir, path, flags, unix.STATX_TYPE, &stat); err != nil {
		return false, doing("looking for a mount", err)
	}
	return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
