package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The private tmpfs. 3,000 volumes with a credential each take some 24 MiB in
// 6,000 files; the limits keep a mistake from eating the node's memory.
const (
	tmpfsSource = "regcred-run"
	tmpfsSize   = "64m"
	tmpfsInodes = "32k"
)

// The marker is a file at the root of a tmpfs that this driver mounted. Its
// content remembers for the next start whether the kernel took noswap.
const (
	markerName   = "regcred-run"
	markerNoSwap = "noswap\n"
	markerSwap   = "swap\n"
)

// runtimeNames are all that the root of the private tmpfs holds.
var runtimeNames = []string{markerName, volumesName, credentialsName, programName}

// openRuntime returns the locked root of the private tmpfs at path and the
// content of its marker, empty when somebody else mounted the tmpfs. It mounts
// one where there is none.
func openRuntime(path string) (root int, marker string, err error) {
	root, err = openDirectory(path)
	if err != nil {
		return -1, "", err
	}
	defer func() {
		if err != nil {
			_ = unix.Close(root) // the error that brought us here is the one to tell
		}
	}()
	// The lock lies on what the path shows now: the directory before the mount
	// or the root of the tmpfs after it. Both are taken before the mount, so
	// no second instance slips in between.
	if err := lock(root, path, ""); err != nil {
		return root, "", err
	}
	found, err := isTmpfsRoot(root)
	if err != nil {
		return root, "", err
	}
	if !found {
		if err := holdsOnly(root, path); err != nil { // a mount would hide it
			return root, "", err
		}
		mounted, err := mountTmpfs(root, path)
		if err != nil {
			return root, "", err
		}
		_ = unix.Close(root) // the directory below the mount; only its lock mattered
		root = mounted
	}
	if err := holdsOnly(root, path, runtimeNames...); err != nil {
		return root, "", err
	}
	if err := claim(root, path, runtimeNames...); err != nil {
		return root, "", err
	}
	content, err := readFile(root, markerName)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return root, "", strange(path, markerName, err)
	}
	return root, string(content), nil
}

// isTmpfsRoot asks the kernel whether a directory is where a tmpfs is mounted.
func isTmpfsRoot(fd int) (bool, error) {
	var stat unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &stat); err != nil {
		return false, fmt.Errorf("statx: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false, fmt.Errorf("statfs: %w", err)
	}
	return stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 && fs.Type == unix.TMPFS_MAGIC, nil
}

// mountTmpfs mounts a new tmpfs on a directory and returns its locked root.
func mountTmpfs(target int, path string) (root int, err error) {
	mount, marker, err := detachedTmpfs()
	if err != nil {
		return -1, fmt.Errorf("making a tmpfs: %w", err)
	}
	defer unix.Close(mount)
	root, err = unix.Openat(mount, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the new tmpfs: %w", err)
	}
	if err = lock(root, path, ""); err == nil {
		err = writeFile(root, markerName, []byte(marker), false)
	}
	if err == nil {
		err = unix.MoveMount(mount, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	}
	if err != nil {
		_ = unix.Close(root) // takes the detached tmpfs with it
		return -1, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return root, nil
}

// detachedTmpfs makes a tmpfs that is mounted nowhere yet, and its marker.
func detachedTmpfs() (mount int, marker string, err error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, "", fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	for _, option := range []struct{ key, value string }{
		{"source", tmpfsSource}, {"mode", "0700"}, {"size", tmpfsSize}, {"nr_inodes", tmpfsInodes},
	} {
		if err := unix.FsconfigSetString(fs, option.key, option.value); err != nil {
			return -1, "", fmt.Errorf("fsconfig %s=%s: %w", option.key, option.value, err)
		}
	}
	// Refused with EINVAL before Linux 6.4 and in a user namespace.
	marker = markerNoSwap
	if err := unix.FsconfigSetFlag(fs, "noswap"); err != nil {
		marker = markerSwap
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, "", fmt.Errorf("fsconfig create: %w", err)
	}
	mount, err = unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, "", fmt.Errorf("fsmount: %w", err)
	}
	return mount, marker, nil
}

// swapWarning tells that what lies in the tmpfs may reach a disk; empty when
// it cannot.
func swapWarning(path, marker string) string {
	if marker == markerNoSwap {
		return ""
	}
	on, err := swapOn()
	switch {
	case err != nil:
		return fmt.Sprintf("credentials in %s may reach a swap device: its tmpfs has no noswap, and whether swap is on cannot be read (%v)", path, err)
	case on:
		return fmt.Sprintf("credentials in %s may reach a swap device: swap is on and its tmpfs has no noswap, which needs Linux 6.4 and a mount from outside of user namespaces: turn swap off or encrypt it", path)
	default:
		return ""
	}
}

// swapOn reads the kernel's table: a heading and one line for each device.
func swapOn() (bool, error) {
	file, err := os.Open("/proc/swaps")
	if err != nil {
		return false, err
	}
	defer file.Close()
	lines := 0
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		lines++
	}
	return lines > 1, scanner.Err()
}
