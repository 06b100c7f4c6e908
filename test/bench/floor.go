package main

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// files are what the floor and the reference write: as many and as large as
// the driver's for the same request.
var files = map[string][]byte{
	"config.json":  make([]byte, 110),
	"daemon.json":  make([]byte, 3),
	"regcred.json": make([]byte, 260),
}

// up is the least that shows files in memory at a target.
func up(target string) error {
	if err := os.Mkdir(target, 0o750); err != nil {
		return err
	}
	if err := unix.Mount("bench", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size=4m"); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(target, name), data, 0o444); err != nil {
			return err
		}
	}
	return unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// down is the least that takes them away.
func down(target string) error {
	if err := unix.Unmount(target, 0); err != nil {
		return err
	}
	return os.Remove(target)
}

// floor is the raw loop, measured in this process.
type floor struct{ dir string }

func (f floor) target(i int) string { return filepath.Join(f.dir, "floor-"+strconv.Itoa(i)) }

func (f floor) publish(i int) error   { return up(f.target(i)) }
func (f floor) unpublish(i int) error { return down(f.target(i)) }

// republish asks the kernel whether the mount is there.
func (f floor) republish(i int) error {
	var stat unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, f.target(i), 0, unix.STATX_TYPE, &stat)
}

func (floor) pid() int { return os.Getpid() }
