package tmpfs

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// root is a descriptor of a volume's root directory. What lies below was
// written by this driver alone, so paths below it are resolved plainly.
type root int

func (r root) close() { shut(int(r)) }

func (r root) open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(int(r), path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// names lists a directory.
func (r root) names(dir string) ([]string, error) {
	fd, err := r.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, doing("listing "+dir, err)
	}
	defer shut(fd)
	return list(fd)
}

// list reads the names in an open directory, until there are none: a signal,
// such as those of Go's scheduler, makes a read shorter than the directory.
func list(fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 4096)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, doing("listing a directory", err)
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func (r root) readlink(path string) (string, error) {
	var buf [512]byte
	n, err := unix.Readlinkat(int(r), path, buf[:])
	if err != nil {
		return "", doing("reading the link "+path, err)
	}
	return string(buf[:n]), nil
}

// generation names the one in force.
func (r root) generation() (string, error) {
	name, err := r.readlink(dataLink)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(name, generationPrefix) || strings.Contains(name, "/") {
		return "", connector.Errorf(connector.ErrPrecondition, "the volume is damaged: %s points at %q", dataLink, name)
	}
	return name, nil
}

// directory names what the entry of a generation leads to, empty when it is
// no directory.
func (r root) directory(generation, entry string) (string, error) {
	target, err := r.readlink(generation + "/" + entry)
	if absent(err) || errors.Is(err, unix.EINVAL) { // EINVAL: not a symlink
		return "", nil
	}
	if err != nil {
		return "", err
	}
	name, _ := strings.CutPrefix(target, "../")
	return name, nil
}

// holds reports whether the file at path has just this content. Its buffer
// has room for a byte more, which tells a longer file.
func (r root) holds(path string, data []byte) (bool, error) {
	fd, err := r.open(path, unix.O_RDONLY)
	if absent(err) || errors.Is(err, unix.ELOOP) {
		return false, nil
	}
	if err != nil {
		return false, doing("comparing "+path, err)
	}
	defer shut(fd)
	buf := make([]byte, min(len(data)+1, 64<<10))
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EISDIR):
			return false, nil
		case err != nil:
			return false, doing("comparing "+path, err)
		case !bytes.HasPrefix(data, buf[:n]):
			return false, nil
		}
		data = data[n:]
		if n < len(buf) { // a short read of tmpfs is the end of the file
			return len(data) == 0, nil
		}
	}
}

// cut empties every file at and below path, and unlinks them too if asked.
// The kind of a file is told by what opening it for writing answers.
func (r root) cut(path string, unlink bool) error {
	fd, err := r.open(path, unix.O_WRONLY|unix.O_TRUNC)
	switch {
	case err == nil:
		shut(fd)
	case errors.Is(err, unix.EISDIR):
		return r.cutDirectory(path, unlink)
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.ELOOP): // a symlink
	case errors.Is(err, unix.ETXTBSY): // a program in execution: no secret
	default:
		return doing("emptying "+path, err)
	}
	if !unlink {
		return nil
	}
	return r.unlink(path, 0)
}

// cutDirectory is cut for what is known to be a directory.
func (r root) cutDirectory(path string, unlink bool) error {
	names, err := r.names(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.cut(path+"/"+name, unlink); err != nil {
			return err
		}
	}
	if !unlink {
		return nil
	}
	return r.unlink(path, unix.AT_REMOVEDIR)
}

func (r root) unlink(path string, flags int) error {
	if err := unix.Unlinkat(int(r), path, flags); err != nil && !errors.Is(err, unix.ENOENT) {
		return doing("removing "+path, err)
	}
	return nil
}

// superseded lists the names at the root that the generation in force, and
// young ones, do not need: older and half-written generations, directories that
// none of their entries leads to, and links to files that they do not have.
func (r root) superseded(young []string) ([]string, error) {
	generation, err := r.generation()
	if err != nil {
		return nil, err
	}
	names, err := r.names(".")
	if err != nil {
		return nil, err
	}
	kept := []string{markerName, dataLink}
	for _, generation := range append([]string{generation}, young...) {
		if !slices.Contains(names, generation) {
			continue // swept with a purge that failed later
		}
		entries, err := r.names(generation)
		if err != nil {
			return nil, err
		}
		kept = append(kept, generation)
		for _, entry := range entries {
			directory, err := r.directory(generation, entry)
			if err != nil {
				return nil, err
			}
			kept = append(kept, entry, directory)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(kept, name) }), nil
}
