package tmpfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Options are what a Disk needs to know.
type Options struct {
	// KubeletDir is the kubelet's directory, below which every target lies. It
	// may be, or lie behind, a symlink; no part of a path below it may.
	KubeletDir string
	// Reserved are directories of the driver's own: no target lies in, at or
	// above one.
	Reserved []string
	// Program is the file that volumes with a program show. It is read when the
	// first of them is published.
	Program string
	// ProgramDir is where its copy in memory is mounted; only root can enter
	// the directory above it, which exists.
	ProgramDir string
}

// Disk implements volume.Disk on Linux 5.12 and newer. It keeps one descriptor,
// and of volumes only under which mount id they were seen, and for a moment what
// was superseded: the kernel is asked each time.
type Disk struct {
	kubeletDir string
	reserved   []string
	root       int // O_PATH descriptor of kubeletDir
	noswap     bool
	warning    string
	seen       seen
	program    program
	former     former
	// step, when set, is called between the steps that change something; an
	// error ends the operation there.
	step func(name string) error
}

var _ volume.Disk = (*Disk)(nil)

// New checks that the kernel and the process's rights suffice and opens the
// kubelet directory.
func New(o Options) (*Disk, error) {
	if !filepath.IsAbs(o.KubeletDir) {
		return nil, connector.Errorf(connector.ErrInvalid, "the kubelet directory %q is not an absolute path", o.KubeletDir)
	}
	if err := checkKernel(); err != nil {
		return nil, err
	}
	d := &Disk{kubeletDir: filepath.Clean(o.KubeletDir), program: program{file: o.Program, dir: o.ProgramDir}}
	for _, dir := range o.Reserved {
		d.reserved = append(d.reserved, filepath.Clean(dir))
	}
	var err error
	if d.noswap, err = acceptsNoswap(); err != nil {
		return nil, err
	}
	if !d.noswap && swapIsOn() {
		d.warning = "this kernel or user namespace refuses tmpfs without swap, and swap is on: credentials of volumes may be written to disk; turn swap off or encrypt it, or run as root on Linux 6.4 or newer"
	}
	if d.root, err = open(unix.AT_FDCWD, d.kubeletDir, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return nil, fmt.Errorf("opening the kubelet directory %s: %w", d.kubeletDir, err)
	}
	return d, nil
}

// Close gives the descriptor back. Volumes stay as they are.
func (d *Disk) Close() error {
	d.program.forget()
	return unix.Close(d.root)
}

// RemoveProgram ends the copy of the program in memory, also that of an earlier
// run. Call it when there is no volume.
func (d *Disk) RemoveProgram() error { return d.program.remove() }

// Warning says what an operator should know about this node, or nothing.
func (d *Disk) Warning() string { return d.warning }

// checkKernel asks for the youngest call used, mount_setattr of Linux 5.12.
// Changing nothing, it succeeds wherever it exists and is allowed.
func checkKernel() error {
	err := unix.MountSetattr(unix.AT_FDCWD, "", unix.AT_EMPTY_PATH, &unix.MountAttr{})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSYS):
		return connector.Errorf(connector.ErrPrecondition, "Linux 5.12 or newer is required, this is %s (or a seccomp profile hides mount_setattr)", release())
	case errors.Is(err, unix.EPERM):
		return connector.Errorf(connector.ErrPrecondition, "mounting is not permitted: run as root with CAP_SYS_ADMIN, in a container as privileged")
	default:
		return fmt.Errorf("asking the kernel for mount_setattr: %w", err)
	}
}

func release() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return "Linux " + unix.ByteSliceToString(name.Release[:])
}

// acceptsNoswap tells whether a tmpfs can be kept out of swap: from Linux 6.4
// on, and not in user namespaces.
func acceptsNoswap() (bool, error) {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false, fmt.Errorf("asking the kernel for tmpfs: %w", err)
	}
	defer shut(fd)
	return unix.FsconfigSetFlag(fd, "noswap") == nil, nil
}

// swapIsOn reads the kernel's list: one line of headings, one line per area.
func swapIsOn() bool {
	areas, err := os.ReadFile("/proc/swaps")
	return err == nil && bytes.Count(areas, []byte("\n")) > 1
}

// reach is called before each step, with what it works on.
func (d *Disk) reach(step, name string) error {
	if d.step == nil {
		return nil
	}
	return d.step(step + name)
}
