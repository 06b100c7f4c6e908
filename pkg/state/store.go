package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Names of what the two directories hold.
const (
	lockName        = "lock"
	bootIDName      = "boot-id"
	intentsName     = "intents"
	volumesName     = "volumes"
	credentialsName = "credentials"
	programName     = "helper"
)

// Options says where the driver keeps what it remembers.
type Options struct {
	// StateDir lies on a disk and holds no secret.
	StateDir string
	// RuntimeDir is where the private tmpfs is, or gets, mounted.
	RuntimeDir string
}

// Store is the opened state of the one driver instance of a node.
type Store struct {
	options  Options
	lockFD   int
	stateFD  int
	rootFD   int
	ours     bool // the tmpfs was mounted by this driver
	rebooted bool
	warnings []string

	volumes, credentials, intents *Dir
}

// Open locks both directories, creating what is missing, and mounts the
// private tmpfs unless an earlier run left it mounted. The error wraps
// connector.ErrPrecondition when another instance runs or a directory cannot
// be trusted, connector.ErrExhausted when there is no room, and
// connector.ErrUnavailable otherwise.
func Open(ctx context.Context, options Options) (*Store, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil { // a start that was given up mounts nothing
		return nil, err
	}
	s := &Store{options: options, lockFD: -1, stateFD: -1, rootFD: -1}
	if err := s.openState(); err != nil {
		s.release()
		return nil, failure("opening the state directory", options.StateDir, false, err)
	}
	if err := s.openRuntime(); err != nil {
		s.release()
		return nil, failure("opening the runtime directory", options.RuntimeDir, true, err)
	}
	return s, nil
}

func (o Options) checked() (Options, error) {
	for _, path := range []*string{&o.StateDir, &o.RuntimeDir} {
		if *path == "" {
			return o, connector.Errorf(connector.ErrInvalid, "name a state and a runtime directory")
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, connector.Errorf(connector.ErrInvalid, "%s: %w", *path, err)
		}
		*path = absolute
	}
	if o.StateDir == o.RuntimeDir || strings.HasPrefix(o.StateDir, o.RuntimeDir+"/") {
		return o, connector.Errorf(connector.ErrInvalid, "state directory %s lies in the runtime directory %s, whose content is gone after a reboot: name one outside", o.StateDir, o.RuntimeDir)
	}
	return o, nil
}

func (s *Store) openState() (err error) {
	if s.stateFD, err = openDirectory(s.options.StateDir); err != nil {
		return err
	}
	if err := claim(s.stateFD, s.options.StateDir, lockName, bootIDName, intentsName); err != nil {
		return err
	}
	if err := s.takeLock(); err != nil {
		return err
	}
	if err := sweepTemp(s.stateFD); err != nil {
		return err
	}
	if s.intents, err = openDir(s.stateFD, s.options.StateDir, intentsName, false); err != nil {
		return err
	}
	return s.compareBootID()
}

// takeLock locks StateDir/lock and writes there who holds it. The descriptor
// that is kept is a reading one, so that the disk can be remounted read-only.
func (s *Store) takeLock() (err error) {
	s.lockFD, err = unix.Openat(s.stateFD, lockName, unix.O_RDONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return strange(s.options.StateDir, lockName, err)
	}
	holder, err := readFile(s.stateFD, lockName)
	if err != nil {
		return strange(s.options.StateDir, lockName, err)
	}
	if err := lock(s.lockFD, s.options.StateDir, holderText(holder)); err != nil {
		return err
	}
	// A stopping instance may have removed the file between open and flock;
	// then the lock would keep nobody away.
	var stat unix.Stat_t
	if err := unix.Fstat(s.lockFD, &stat); err != nil {
		return err
	}
	if stat.Nlink == 0 {
		return precondition("%s was just removed by an instance that stopped: start again", s.options.StateDir)
	}
	return s.signLock()
}

func (s *Store) signLock() error {
	host, err := os.Hostname()
	if err != nil {
		host = "an unnamed host"
	}
	fd, err := unix.Openat(s.stateFD, lockName, unix.O_WRONLY|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), lockName)
	_, err = fmt.Fprintf(file, "pid %d on %s\n", os.Getpid(), host)
	return errors.Join(err, file.Close())
}

// holderText shows what the holder wrote, unless it is not worth showing.
func holderText(content []byte) string {
	line := strings.TrimSpace(string(content))
	if line == "" || len(line) > 100 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		return ""
	}
	return " (" + line + ")"
}

// compareBootID tells a restart of the driver from one of the node.
func (s *Store) compareBootID() error {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	before, err := readFile(s.stateFD, bootIDName)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, errDamaged) { // what is damaged is written anew
		return err
	}
	if slices.Equal(before, now) {
		return nil
	}
	s.rebooted = len(before) > 0
	return strange(s.options.StateDir, bootIDName, writeFile(s.stateFD, bootIDName, now, true))
}

func (s *Store) openRuntime() (err error) {
	root, marker, err := openRuntime(s.options.RuntimeDir)
	if err != nil {
		return err
	}
	s.rootFD, s.ours = root, marker != ""
	if warning := swapWarning(s.options.RuntimeDir, marker); warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	if s.volumes, err = openDir(root, s.options.RuntimeDir, volumesName, true); err != nil {
		return err
	}
	s.credentials, err = openDir(root, s.options.RuntimeDir, credentialsName, true)
	return err
}

// openDir opens one directory of records and removes half-written ones.
func openDir(parent int, path, name string, tmpfs bool) (*Dir, error) {
	fd, err := makeDirectory(parent, name)
	if err != nil {
		return nil, err
	}
	if err := sweepTemp(fd); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return &Dir{fd: fd, path: filepath.Join(path, name), tmpfs: tmpfs}, nil
}

// Rebooted reports whether the node was booted since the state directory was
// last opened: mounts and runtime records are gone then, intents are not.
func (s *Store) Rebooted() bool { return s.rebooted }

// Warnings are findings of Open for the operator, one line each.
func (s *Store) Warnings() []string { return s.warnings }

// Volumes are the volume records, in the private tmpfs.
func (s *Store) Volumes() *Dir { return s.volumes }

// Credentials are the credential records, which hold secrets, in the private
// tmpfs.
func (s *Store) Credentials() *Dir { return s.credentials }

// ProgramDir is a name in the private tmpfs for the one thing there that is no
// record. Whoever makes something of it removes it before a clean Close.
func (s *Store) ProgramDir() string { return filepath.Join(s.options.RuntimeDir, programName) }

// Intents are on disk and fsynced: what was, or may have been, made at a
// provider and has to be revoked one day. They must hold no secret.
func (s *Store) Intents() *Dir { return s.intents }
