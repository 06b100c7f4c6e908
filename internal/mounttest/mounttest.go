// Package mounttest runs the tests of a package in a mount namespace of their
// own, so that they mount for real and nothing of it reaches the machine.
package mounttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// variable, when set, tells the test binary and every child it starts that the
// namespace is there already.
const variable = "REGCRED_MOUNTTEST"

// Main is the whole TestMain of a package that mounts:
//
//	func TestMain(m *testing.M) { os.Exit(mounttest.Main(m)) }
//
// It starts the test binary once more in a private mount namespace, as a user
// other than root also in a user namespace with that user as root, and returns
// its exit code.
func Main(m *testing.M) int {
	if os.Getenv(variable) != "" {
		return m.Run()
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), variable+"=inside")
	cmd.SysProcAttr = Namespaces(os.Geteuid() != 0)
	// The kernel sends the death signal when the thread that started the child
	// ends, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a mount namespace of their own: run them as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1): %v\n", err)
		return 1
	}
	return 0
}

// Namespaces are the attributes of a child in a private mount namespace; with
// user, in a user namespace in which the caller is root.
func Namespaces(user bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if user {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}
