package main

import (
	"context"
	"os"

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
	if err := unix.Mkdir(target, 0o750); err != nil {
		return err
	}
	if err := unix.Mount("bench", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0755,size=4m"); err != nil {
		return err
	}
	for name, data := range files {
		fd, err := unix.Open(target+"/"+name, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o444)
		if err != nil {
			return err
		}
		_, err = unix.Write(fd, data)
		_ = unix.Close(fd) // a tmpfs has nothing to flush
		if err != nil {
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
	return unix.Rmdir(target)
}

// shown tells whether a mount is at the target.
func shown(target string) bool {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, target, 0, unix.STATX_TYPE, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// floor is the raw loop, measured in this process.
type floor struct{}

func (floor) name() string { return "floor" }
func (floor) pid() int     { return os.Getpid() }

func (floor) publish(_ context.Context, c call) error {
	if shown(c.target) {
		return nil
	}
	return up(c.target)
}

func (floor) unpublish(_ context.Context, c call) error { return down(c.target) }
