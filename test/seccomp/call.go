package seccomp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Call is a system call that waits for its answer.
type Call struct {
	Number int
	Args   [6]uint64
	TID    int // the thread that called
}

// Path reads the path that the call is about: argument i, below the directory
// that argument dir names when it is not absolute; dir < 0 means the working
// directory.
func (c Call) Path(dir, i int) (string, error) {
	path, err := c.text(uintptr(c.Args[i]))
	if err != nil || filepath.IsAbs(path) {
		return path, err
	}
	from := fmt.Sprintf("/proc/%d/cwd", c.TID)
	if dir >= 0 && int32(c.Args[dir]) != unix.AT_FDCWD {
		from = fmt.Sprintf("/proc/%d/fd/%d", c.TID, int32(c.Args[dir]))
	}
	base, err := os.Readlink(from)
	if err != nil {
		return "", fmt.Errorf("the directory of %q: %w", path, err)
	}
	return filepath.Join(base, path), nil
}

// Opened is the path that one of Opens is about.
func (c Call) Opened() (string, error) {
	if c.Number == unix.SYS_OPENAT || c.Number == unix.SYS_OPENAT2 {
		return c.Path(0, 1)
	}
	return c.Path(-1, 0)
}

// text reads a string of the caller. It may end before the page after it,
// which need not be there.
func (c Call) text(address uintptr) (string, error) {
	page := uintptr(os.Getpagesize())
	var all []byte
	for len(all) < unix.PathMax {
		part := make([]byte, page-address%page)
		n, err := unix.ProcessVMReadv(c.TID, []unix.Iovec{{Base: &part[0], Len: uint64(len(part))}},
			[]unix.RemoteIovec{{Base: address, Len: len(part)}}, 0)
		if err != nil {
			return "", fmt.Errorf("reading a string of thread %d: %w", c.TID, err)
		}
		if end := bytes.IndexByte(part[:n], 0); end >= 0 {
			return string(append(all, part[:end]...)), nil
		}
		all, address = append(all, part[:n]...), address+uintptr(n)
	}
	return "", fmt.Errorf("a path of thread %d is longer than %d", c.TID, unix.PathMax)
}
