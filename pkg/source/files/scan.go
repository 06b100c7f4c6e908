package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// maxFileSize bounds what one file can cost. A ConfigMap or Secret holds at
// most 1 MiB.
const maxFileSize = 4 << 20

// listing is what a directory holds.
type listing struct {
	names    []string // of manifests, relative to the directory, sorted
	failed   []string // sub-directories that could not be listed
	problems []Problem
}

// list finds the manifests of a directory and of its sub-directories. It
// calls enter before it looks into each, so that a watch misses nothing.
func list(dir string, enter func(dir string) error) (listing, error) {
	var l listing
	subs, err := l.add(dir, "", enter)
	if err != nil {
		return listing{}, err
	}
	for _, sub := range subs {
		deeper, err := l.add(dir, sub, enter)
		for _, name := range deeper {
			l.problems = append(l.problems, Problem{File: name, Err: connector.Errorf(connector.ErrInvalid,
				"manifests are read from the directory and one level below, not from here: move them up")})
		}
		if err != nil {
			l.failed = append(l.failed, sub)
			l.problems = append(l.problems, Problem{File: sub, Err: fmt.Errorf("listing the directory: %w", plain(err))})
		}
	}
	slices.Sort(l.names)
	return l, nil
}

// add lists one directory and returns its sub-directories.
func (l *listing) add(dir, sub string, enter func(dir string) error) (subs []string, err error) {
	path := filepath.Join(dir, sub)
	if err := enter(path); err != nil {
		l.problems = append(l.problems, Problem{File: filepath.Join(".", sub), Err: err})
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := filepath.Join(sub, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, name)) // follows links
		switch {
		case err == nil && info.IsDir():
			subs = append(subs, name)
		case isManifest(name):
			l.names = append(l.names, name)
		}
	}
	return subs, nil
}

func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// errGone: the file was removed after it was listed.
var errGone = errors.New("gone")

// read reads one file and its mode.
func read(path string) ([]byte, fs.FileMode, error) {
	// Without O_NONBLOCK, opening a pipe would wait for its writer.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, 0, errGone
		}
		return nil, 0, connector.Errorf(connector.ErrInvalid, "the link leads nowhere")
	}
	if err != nil {
		return nil, 0, fmt.Errorf("opening the file: %w", plain(err))
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("opening the file: %w", plain(err))
	}
	if !info.Mode().IsRegular() {
		return nil, 0, connector.Errorf(connector.ErrInvalid, "it is no regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, 0, fmt.Errorf("reading the file: %w", plain(err))
	}
	if len(data) > maxFileSize {
		return nil, 0, connector.Errorf(connector.ErrInvalid, "the file is larger than %d MiB: split it", maxFileSize>>20)
	}
	return data, info.Mode(), nil
}

// plain takes the path out of an error that is shown beside it.
func plain(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
