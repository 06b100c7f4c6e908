package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Suffixes of files that are no records: one that is being written, and one
// that was found damaged and is kept for a look.
const (
	tempSuffix = ".tmp"
	tornSuffix = ".torn"
)

// Dir stores documents by key, one file each. A document is whole or absent,
// whatever kills the driver; on disk also after a power cut once Put returned.
// Its methods are safe for concurrent use until the Store is closed.
type Dir struct {
	fd    int
	path  string // for error texts only
	tmpfs bool   // memory needs no fsync, and a damaged secret is not kept

	// Writers of different keys run together; All has the directory for
	// itself, lest it removes as damaged what a Put is just replacing.
	mu sync.RWMutex
}

// Put stores the document under the key in one step, replacing the one before.
// On error nothing half-written is left; the error wraps connector.ErrExhausted
// when there is no room, else connector.ErrUnavailable. After an error on disk
// either the old or the new document is there.
func (d *Dir) Put(key string, document []byte) error {
	record := encodeRecord(key, document)
	if len(record) > maxRecord {
		return connector.Errorf(connector.ErrExhausted, "storing a record in %s: %d bytes are more than the %d that one may have: make the Secret behind it smaller", d.path, len(record), maxRecord)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if err := d.inPlace(); err != nil {
		return err
	}
	if err := writeFile(d.fd, recordName(key), record, !d.tmpfs); err != nil {
		return failure("storing a record", d.path, d.tmpfs, err)
	}
	return nil
}

// inPlace refuses to write on a disk that no longer is at its path: a
// successor would not find there what it must.
func (d *Dir) inPlace() error {
	if d.tmpfs {
		return nil
	}
	var opened, found unix.Stat_t
	err := unix.Fstat(d.fd, &opened)
	if err == nil {
		err = unix.Stat(d.path, &found)
	}
	if err == nil && (opened.Dev != found.Dev || opened.Ino != found.Ino) {
		err = unix.ESTALE
	}
	if err != nil {
		return failure("storing a record", d.path, d.tmpfs, err)
	}
	return nil
}

// Delete removes the document of a key; an absent one is success.
func (d *Dir) Delete(key string) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	err := unix.Unlinkat(d.fd, recordName(key), 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err == nil && !d.tmpfs {
		err = unix.Fsync(d.fd)
	}
	if err != nil {
		return failure("deleting a record", d.path, d.tmpfs, err)
	}
	return nil
}

// All returns every whole document by its key, also when it returns an error:
// the error joins what was wrong with the others. A damaged record is told
// once: on disk it is renamed to end in .torn, in memory it is removed, because
// it may hold half a secret. One of another version of the driver stays where it
// is on disk, for when that one comes back.
func (d *Dir) All() (map[string][]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	names, err := entries(d.fd)
	if err != nil {
		return nil, failure("listing the records", d.path, d.tmpfs, err)
	}
	documents := make(map[string][]byte, len(names))
	var problems []error
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) || strings.HasSuffix(name, tornSuffix) {
			continue
		}
		key, document, err := d.read(name)
		switch {
		case err == nil:
			documents[key] = document
		case isRecordName(name) && (errors.Is(err, errDamaged) || errors.Is(err, errVersion) && d.tmpfs):
			problems = append(problems, d.setAside(name, err))
		case errors.Is(err, errVersion):
			problems = append(problems, fmt.Errorf("reading %q in %s: %w: start that version again, or delete the file once what it names is deleted at its provider", name, d.path, err))
		default:
			problems = append(problems, fmt.Errorf("reading %q in %s: %w", name, d.path, err))
		}
	}
	return documents, errors.Join(problems...)
}

func (d *Dir) read(name string) (key string, document []byte, err error) {
	record, err := readFile(d.fd, name)
	if err != nil {
		return "", nil, err
	}
	key, document, err = decodeRecord(record)
	if err == nil && recordName(key) != name {
		err = fmt.Errorf("%w: the record belongs under another name", errDamaged)
	}
	return key, document, err
}

// setAside takes a damaged record out of the way and returns the report.
func (d *Dir) setAside(name string, cause error) error {
	if d.tmpfs {
		err := unix.Unlinkat(d.fd, name, 0)
		if errors.Is(err, unix.EISDIR) {
			err = unix.Renameat(d.fd, name, d.fd, name+tornSuffix)
		}
		if err != nil {
			return fmt.Errorf("removing record %q in %s (%w): %w", name, d.path, cause, err)
		}
		return fmt.Errorf("record %q in %s was removed: %w", name, d.path, cause)
	}
	if err := unix.Renameat(d.fd, name, d.fd, name+tornSuffix); err != nil {
		return fmt.Errorf("renaming record %q in %s (%w): %w", name, d.path, cause, err)
	}
	return fmt.Errorf("record %q in %s was kept as %s, look at it and delete it: %w", name, d.path, name+tornSuffix, cause)
}

// writeFile writes name in one step: the content goes to a file of another
// name, which is renamed when it is complete.
func writeFile(dir int, name string, content []byte, sync bool) error {
	temp, fd, err := createTemp(dir, name)
	if err != nil {
		return err
	}
	err = writeAll(fd, content)
	if err == nil && sync {
		err = unix.Fsync(fd)
	}
	if closing := unix.Close(fd); err == nil {
		err = closing
	}
	if err == nil {
		err = unix.Renameat(dir, temp, dir, name)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0) // the first error is the one to tell, and Open removes what is left
		return err
	}
	if sync {
		return unix.Fsync(dir)
	}
	return nil
}

// createTemp makes a new file beside name. Two writers of one name, which the
// callers do not start, would each get a file of their own.
func createTemp(dir int, name string) (temp string, fd int, err error) {
	for i := 0; ; i++ {
		temp = name + "." + strconv.Itoa(i) + tempSuffix
		fd, err = unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		return temp, fd, err
	}
}

func writeAll(fd int, content []byte) error {
	for len(content) > 0 {
		n, err := unix.Write(fd, content)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		content = content[max(n, 0):]
	}
	return nil
}

// readFile reads a regular file; anything else is damage. O_NONBLOCK keeps a
// foreign FIFO from blocking the start.
func readFile(dir int, name string) ([]byte, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: a symbolic link", errDamaged)
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecord {
		return nil, fmt.Errorf("%w: not a regular file of at most %d bytes", errDamaged, maxRecord)
	}
	content := make([]byte, info.Size())
	_, err = io.ReadFull(file, content)
	return content, err
}

// entries lists a directory in order.
func entries(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), ".")
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// sweepTemp removes what a kill in the middle of a write left.
func sweepTemp(dir int) error {
	names, err := entries(dir)
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			err = errors.Join(err, unix.Unlinkat(dir, name, 0))
		}
	}
	return err
}
