package outdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// Write puts the files into the directory, each in one step and with the mode.
// A directory that holds anything else is refused. Then it calls last, on
// whose success everything depends. On error the directory holds what it held
// before.
func (d *Dir) Write(files render.Files, mode fs.FileMode, last func() error) error {
	if err := d.refuseForeign(files); err != nil {
		return err
	}
	s := &swap{root: d.root, mode: mode}
	if err := s.run(files); err != nil {
		if !errors.Is(err, connector.ErrPrecondition) {
			err = refused(d.path, fmt.Errorf("writing to %s: %w", d.path, err))
		}
		return errors.Join(err, s.undo())
	}
	if err := last(); err != nil {
		return errors.Join(err, s.undo())
	}
	d.kept = true
	return nil
}

// mostNamed bounds how many foreign files an error names.
const mostNamed = 3

// refuseForeign keeps files of others from being mixed with credentials, and
// those of an earlier call, written with other flags, from being taken for
// fresh ones.
func (d *Dir) refuseForeign(files render.Files) error {
	ours := map[string]bool{".": true} // value: is a directory
	for _, f := range files {
		ours[f.Path] = false
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			ours[dir] = true
		}
	}
	var foreign []string
	err := fs.WalkDir(d.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		isDir, known := ours[name]
		switch {
		case name == staging:
			return fs.SkipDir
		case known && (isDir && entry.IsDir() || !isDir && entry.Type().IsRegular()):
			return nil
		}
		foreign = append(foreign, name)
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking into %s: %w", d.path, err)
	}
	if len(foreign) == 0 {
		return nil
	}
	text := strings.Join(foreign[:min(len(foreign), mostNamed)], ", ")
	if more := len(foreign) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return connector.Errorf(connector.ErrPrecondition, "%s holds what is not to be written now: %s: remove it, or name an empty or missing directory", d.path, text)
}

// swap moves files into place and can take it back.
type swap struct {
	root *os.Root
	mode fs.FileMode
	back []func() error
}

// run writes everything beside its place first, so that what can fail fails
// before anything is changed.
func (s *swap) run(files render.Files) error {
	for _, f := range files {
		if err := s.stage(path.Join(staging, "new", f.Path), f); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := s.place(f.Path); err != nil {
			return err
		}
	}
	return nil
}

func (s *swap) stage(name string, file render.File) (err error) {
	if err := private(s.root, path.Dir(name)); err != nil {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(file.Data); err != nil {
		return err
	}
	mode := s.mode
	if file.Program { // who may read it may execute it
		mode |= mode & 0o444 >> 2
	}
	if err := f.Chmod(mode); err != nil { // the process's umask has no say
		return err
	}
	return f.Sync()
}

// place moves one staged file to its name. The former one stays linked in the
// staging directory, from where undo moves it back.
func (s *swap) place(name string) error {
	if err := s.directories(path.Dir(name)); err != nil {
		return err
	}
	former := path.Join(staging, "old", name)
	if err := private(s.root, path.Dir(former)); err != nil {
		return err
	}
	back := func() error { return s.root.Rename(former, name) }
	switch err := s.root.Link(name, former); {
	case errors.Is(err, fs.ErrNotExist):
		back = func() error { return s.root.Remove(name) }
	case errors.Is(err, fs.ErrPermission): // fs.protected_hardlinks
		return connector.Errorf(connector.ErrPrecondition, "%s in the directory belongs to another user: remove it, or name another directory", name)
	case err != nil:
		return err
	}
	if err := s.root.Rename(path.Join(staging, "new", name), name); err != nil {
		return err
	}
	s.back = append(s.back, back)
	return nil
}

// directories makes what is missing above a file. Who may read the file may
// enter them.
func (s *swap) directories(dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.directories(path.Dir(dir)); err != nil {
		return err
	}
	switch err := s.root.Mkdir(dir, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	s.back = append(s.back, func() error { return s.root.Remove(dir) })
	read := s.mode & 0o044
	return s.root.Chmod(dir, 0o700|read|read>>2)
}

func (s *swap) undo() error {
	var errs []error
	for _, back := range slices.Backward(s.back) {
		errs = append(errs, back())
	}
	return errors.Join(errs...)
}
