// Package held keeps a volume's files as those do who outlive its unmount: a
// program with open files, a second mount namespace that has the whole volume,
// and a subPath mount of one of its directories. What they show afterwards tells
// whether secrets were cut, or only hidden.
package held

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Volume is what is held of one volume, as it was at one moment.
type Volume struct {
	secret func(content []byte) bool
	device uint64
	files  []*os.File // each held a secret
	binds  []bind
}

// bind is a bind mount that is attached nowhere, so that no mount table has it.
type bind struct {
	fd int
	of string
}

// File tells one file from every other.
type File struct{ device, inode uint64 }

// Take holds what is at a target now, which may be nothing: the files in force
// for which secret says that they hold any, the whole volume, and each of the
// directories in force. It may be called while the volume is written or removed.
func Take(target string, secret func(content []byte) bool) (*Volume, error) {
	v := &Volume{secret: secret}
	err := v.take(target)
	if err != nil {
		err = errors.Join(err, v.Close())
	}
	return v, err
}

func (v *Volume) take(target string) error {
	if err := v.bind(target); err != nil {
		return err
	}
	var stat unix.Stat_t
	for _, b := range v.binds {
		if err := unix.Fstat(b.fd, &stat); err != nil {
			return err
		}
		v.device = stat.Dev
	}
	generation, err := filepath.EvalSymlinks(filepath.Join(target, "..data"))
	if err == nil {
		err = v.directory(generation)
	}
	entries, _ := os.ReadDir(generation) // what went meanwhile is not held
	for _, e := range entries {
		if err == nil && e.Type() == fs.ModeSymlink {
			var directory string
			if directory, err = filepath.EvalSymlinks(filepath.Join(generation, e.Name())); err == nil {
				err = v.directory(directory)
			}
		}
	}
	if gone(err) {
		return nil
	}
	return err
}

// directory holds one that the volume leads to.
func (v *Volume) directory(dir string) error {
	if err := v.bind(dir); err != nil {
		return err
	}
	return walk(dir, func(name string) error {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if content, err := io.ReadAll(f); err != nil || !v.secret(content) {
			return errors.Join(err, f.Close())
		}
		v.files = append(v.files, f)
		return nil
	})
}

func (v *Volume) bind(dir string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("binding %s: %w", dir, err)
	}
	v.binds = append(v.binds, bind{fd, dir})
	return nil
}

// walk calls do for each file below a directory that may change meanwhile.
func walk(dir string, do func(name string) error) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			err = do(name)
		}
		if gone(err) {
			return nil
		}
		return err
	})
}

// gone says that a file went while it was looked for.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// At reports whether the volume is at a target still, or that is another one.
func (v *Volume) At(target string) bool {
	var stat unix.Stat_t
	return unix.Stat(target, &stat) == nil && stat.Dev == v.device
}

// Shows says where a secret is still to be read, but in files in force; empty
// when nowhere.
func (v *Volume) Shows(inForce map[File]bool) (string, error) {
	places, err := v.showing(inForce)
	if err != nil || len(places) == 0 {
		return "", err
	}
	return fmt.Sprintf("%s (one of %d)", places[0], len(places)), nil
}

func (v *Volume) showing(inForce map[File]bool) (names []string, err error) {
	for _, f := range v.files {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.Size() != 0 && !inForce[fileOf(info)] {
			names = append(names, "the open file "+f.Name())
		}
	}
	for _, b := range v.binds {
		err := walk(fmt.Sprintf("/proc/self/fd/%d/", b.fd), func(name string) error {
			info, err := os.Lstat(name)
			if err != nil || inForce[fileOf(info)] {
				return err
			}
			content, err := os.ReadFile(name)
			if err == nil && v.secret(content) {
				names = append(names, "the mount of "+b.of+", at "+path.Base(name))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Close lets everything go.
func (v *Volume) Close() error {
	var errs []error
	for _, f := range v.files {
		errs = append(errs, f.Close())
	}
	for _, b := range v.binds {
		errs = append(errs, unix.Close(b.fd))
	}
	v.files, v.binds = nil, nil
	return errors.Join(errs...)
}

// InForce lists the files to which the names of a published volume lead. There
// is none where no volume is.
func InForce(target string) (map[File]bool, error) {
	files := map[File]bool{}
	generation, err := filepath.EvalSymlinks(filepath.Join(target, "..data"))
	if err != nil {
		if gone(err) {
			err = nil
		}
		return files, err
	}
	entries, err := os.ReadDir(generation)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		entry, err := filepath.EvalSymlinks(filepath.Join(generation, e.Name())) // a directory may be older
		if err == nil {
			err = walk(entry, func(name string) error {
				info, err := os.Lstat(name)
				if err == nil {
					files[fileOf(info)] = true
				}
				return err
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func fileOf(info fs.FileInfo) File {
	stat, _ := info.Sys().(*syscall.Stat_t)
	return File{stat.Dev, stat.Ino}
}

var base64Text = regexp.MustCompile(`[A-Za-z0-9+/]{8,}={0,2}`)

// Contains finds a pattern as it is and inside of base64, as logins are written.
func Contains(pattern *regexp.Regexp) func(content []byte) bool {
	return func(content []byte) bool {
		if pattern.Match(content) {
			return true
		}
		for _, word := range base64Text.FindAll(content, -1) {
			text := strings.TrimRight(string(word), "=")
			if plain, err := base64.RawStdEncoding.DecodeString(text); err == nil && pattern.Match(plain) {
				return true
			}
		}
		return false
	}
}
