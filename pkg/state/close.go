package state

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Close gives both locks back. With clean, said by a driver that has no
// volumes, credentials or pending revocations, it also unmounts the private
// tmpfs and removes both directories; a record that is there nevertheless
// keeps everything in place and is an error. The Dirs must not be used any
// more.
func (s *Store) Close(clean bool) error {
	if s.rootFD < 0 { // closed before
		return nil
	}
	if !clean {
		s.release()
		return nil
	}
	if err := s.empty(); err != nil {
		s.release()
		return err
	}
	runtime, state := s.removeRuntime(), s.removeState()
	s.release()
	return errors.Join(runtime, state)
}

// empty refuses to call records clean, also damaged ones that were kept.
func (s *Store) empty() error {
	var left []error
	for _, dir := range []*Dir{s.volumes, s.credentials, s.intents} {
		names, err := entries(dir.fd)
		if err == nil && len(names) > 0 {
			err = fmt.Errorf("%d records are left, such as %q", len(names), names[0])
		}
		if err != nil {
			left = append(left, fmt.Errorf("keeping %s: %w", dir.path, err))
		}
	}
	return errors.Join(left...)
}

func (s *Store) removeRuntime() error {
	for _, name := range []string{volumesName, credentialsName} {
		if err := unix.Unlinkat(s.rootFD, name, unix.AT_REMOVEDIR); err != nil {
			return fmt.Errorf("removing %s/%s: %w", s.options.RuntimeDir, name, err)
		}
	}
	if !s.ours { // whoever mounted it takes it away
		return nil
	}
	closeAll(&s.volumes.fd, &s.credentials.fd, &s.rootFD) // an open descriptor would keep the mount busy
	if err := unix.Unmount(s.options.RuntimeDir, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting %s: %w: see which process uses it; it holds no secret any more", s.options.RuntimeDir, err)
	}
	return removeDirectory(s.options.RuntimeDir)
}

func (s *Store) removeState() error {
	if err := unix.Unlinkat(s.stateFD, intentsName, unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("removing %s/%s: %w", s.options.StateDir, intentsName, err)
	}
	// The lock goes last: until then no other instance gets in.
	for _, name := range []string{bootIDName, lockName} {
		if err := unix.Unlinkat(s.stateFD, name, 0); err != nil {
			return fmt.Errorf("removing %s/%s: %w", s.options.StateDir, name, err)
		}
	}
	return removeDirectory(s.options.StateDir)
}

// removeDirectory removes an empty directory. One that holds something else,
// or is a mount of its own, is not ours to remove.
func removeDirectory(path string) error {
	err := unix.Rmdir(path)
	if keep := []error{unix.ENOENT, unix.ENOTEMPTY, unix.EBUSY}; slices.ContainsFunc(keep, func(k error) bool { return errors.Is(err, k) }) {
		return nil
	}
	return os.NewSyscallError("rmdir "+path, err)
}

// release closes every descriptor; the locks end with them.
func (s *Store) release() {
	for _, dir := range []*Dir{s.volumes, s.credentials, s.intents} {
		if dir != nil {
			closeAll(&dir.fd)
		}
	}
	closeAll(&s.rootFD, &s.stateFD, &s.lockFD)
}

func closeAll(fds ...*int) {
	for _, fd := range fds {
		if *fd >= 0 {
			_ = unix.Close(*fd) // a descriptor of a directory: nothing is buffered
			*fd = -1
		}
	}
}
