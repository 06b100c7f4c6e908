package tmpfs

import (
	"errors"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// writer writes content into a writable root. Each directory at the root is
// closed to everyone but root until it is complete, with owner and mode set.
type writer struct {
	root
	access  access
	made    []string // names at the root, so that undo can remove them
	secrets []string // paths of the files that hold any
	reach   func(step, name string) error
}

// mark writes the marker of the volume id.
func (w *writer) mark(id, ending string) error {
	return w.create(markerName, []byte(markerOf(id)+ending), 0, markerMode)
}

// content writes a generation and returns its name.
func (w *writer) content(entries []entry) (string, error) {
	n := 0
	for _, e := range entries {
		n += len(e.files)
	}
	generation := w.access.newName(generationPrefix, n)
	if err := w.mkdir(generation); err != nil {
		return "", err
	}
	for _, e := range entries {
		if !e.dir {
			if err := w.file(generation+"/"+e.name, e.files[0]); err != nil {
				return "", err
			}
			continue
		}
		directory := e.carried
		if directory == "" {
			var err error
			if directory, err = w.directory(e); err != nil {
				return "", err
			}
		}
		if err := w.link("../"+directory, generation+"/"+e.name); err != nil {
			return "", err
		}
	}
	return generation, w.grant(generation, w.access.dirMode)
}

// directory writes a top-level directory and returns the name that it has at
// the root.
func (w *writer) directory(e entry) (string, error) {
	if e.program {
		w.secrets = append(w.secrets, programMount) // none, but to be seen to by Remove as well
		if err := w.mkdir(programMount); err != nil {
			return "", err
		}
		return programMount, w.grant(programMount, w.access.dirMode)
	}
	name := w.access.newName(directoryPrefix, len(e.files))
	if err := w.mkdir(name); err != nil {
		return "", err
	}
	inner := []string{"."}
	for _, f := range e.files {
		below := f.Path[len(e.name)+1:]
		if err := w.above(name, below, &inner); err != nil {
			return "", err
		}
		if err := w.file(name+"/"+below, f); err != nil {
			return "", err
		}
	}
	return name, w.grant(name, w.access.dirMode)
}

// above makes the directories that lead to the file below top, once each.
func (w *writer) above(top, file string, made *[]string) error {
	dir := path.Dir(file)
	if slices.Contains(*made, dir) {
		return nil
	}
	if err := w.above(top, dir, made); err != nil {
		return err
	}
	*made = append(*made, dir)
	if err := unix.Mkdirat(int(w.root), top+"/"+dir, 0o700); err != nil {
		return writing(dir, err)
	}
	return w.grant(top+"/"+dir, w.access.dirMode)
}

func (w *writer) mkdir(name string) error {
	if err := w.reach("mkdir ", name); err != nil {
		return err
	}
	w.made = append(w.made, name)
	if err := unix.Mkdirat(int(w.root), name, 0o700); err != nil {
		return writing(name, err)
	}
	return nil
}

// file writes a file and opens it to its readers.
func (w *writer) file(path string, f render.File) error {
	if f.Secret {
		w.secrets = append(w.secrets, path)
	}
	return w.create(path, f.Data, w.access.gid, w.access.mode)
}

// create writes a file; until it is whole, it is root's alone.
func (w *writer) create(path string, data []byte, gid int, mode uint32) error {
	if err := w.reach("create ", path); err != nil {
		return err
	}
	fd, err := unix.Openat(int(w.root), path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return writing(path, err)
	}
	defer shut(fd)
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return writing(path, err)
		}
		data = data[max(n, 0):]
	}
	// The mode is set apart from creation because of the umask, and after the
	// group.
	if gid != 0 {
		if err := unix.Fchown(fd, -1, gid); err != nil {
			return writing(path, err)
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return writing(path, err)
	}
	return nil
}

// grant opens a finished directory to its readers.
func (w *writer) grant(path string, mode uint32) error {
	if w.access.gid != 0 {
		if err := unix.Fchownat(int(w.root), path, -1, w.access.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return writing(path, err)
		}
	}
	if err := unix.Fchmodat(int(w.root), path, mode, 0); err != nil {
		return writing(path, err)
	}
	return nil
}

// links makes the names at the root that are not there yet. Until ..data
// leads to a generation that has them, they are as good as absent.
func (w *writer) links(entries []entry, there []string) error {
	for _, e := range entries {
		if slices.Contains(there, e.name) {
			continue
		}
		w.made = append(w.made, e.name)
		if err := w.link(dataLink+"/"+e.name, e.name); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) link(to, path string) error {
	if err := w.reach("link ", path); err != nil {
		return err
	}
	if err := unix.Symlinkat(to, int(w.root), path); err != nil {
		return writing(path, err)
	}
	return nil
}

// switchTo puts a generation in force, in one step.
func (w *writer) switchTo(generation string) error {
	err := w.link(generation, dataNext)
	if errors.Is(err, unix.EEXIST) { // left by a crash
		if err = unix.Unlinkat(int(w.root), dataNext, 0); err == nil {
			err = w.link(generation, dataNext)
		}
	}
	if err != nil {
		return err
	}
	w.made = append(w.made, dataNext)
	if err := w.reach("switch", ""); err != nil {
		return err
	}
	if err := unix.Renameat(int(w.root), dataNext, int(w.root), dataLink); err != nil {
		return writing(dataLink, err)
	}
	return nil
}

// undo removes what was written before a failure. What cannot be removed now
// is not in force, and Sweep removes it later.
func (w *writer) undo() {
	for _, name := range slices.Backward(w.made) {
		_ = w.cut(name, true)
	}
}
