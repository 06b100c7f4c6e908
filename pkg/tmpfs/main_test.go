package tmpfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// roleVariable tells a re-executed test binary what it is.
const roleVariable = "REGCRED_TMPFS_ROLE"

const (
	roleTests     = "tests"     // runs the tests in a mount namespace of its own
	roleUnmounted = "unmounted" // runs what needs no mount
	roleVictim    = "victim"    // runs one operation and kills itself on the way
)

// TestMain runs the tests in a private mount namespace, so that no mount of
// theirs is ever seen outside; without root in a user namespace too.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case roleTests, roleUnmounted:
		os.Exit(m.Run())
	case roleVictim:
		if err := beVictim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(rerun())
	}
}

func rerun() int {
	code, err := runAs(roleTests, namespaces())
	if err != nil {
		fmt.Fprintln(os.Stderr, "no private mount namespace, tests that mount do not run:", err)
		code, err = runAs(roleUnmounted, &syscall.SysProcAttr{})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func namespaces() *syscall.SysProcAttr {
	if os.Getuid() == 0 {
		return &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // package syscall makes it private
	}
	return &syscall.SysProcAttr{
		Cloneflags:   syscall.CLONE_NEWUSER,
		Unshareflags: syscall.CLONE_NEWNS,
		UidMappings:  []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings:  []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
}

func runAs(role string, attr *syscall.SysProcAttr) (int, error) {
	runtime.LockOSThread() // Pdeathsig follows the thread
	defer runtime.UnlockOSThread()
	attr.Pdeathsig = syscall.SIGKILL
	c := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // its life is this process's
	c.Env = append(os.Environ(), roleVariable+"="+role)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = attr
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}
