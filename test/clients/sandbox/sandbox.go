// Package sandbox runs a program in mount, network and process namespaces of
// its own: as root when root started it, else in a user namespace where it
// only looks like root. Whatever the program mounts, listens on or starts is
// gone when it ends, however it ends; so are the cgroups of its containers. It
// knows nothing of registries.
package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// Addresses where servers in the sandbox listen. They are on lo, but not in
// 127.0.0.0/8, which dockerd never verifies and the driver never calls.
const (
	// PrivateAddress is one as registries inside of a company have.
	PrivateAddress = "10.99.0.1"
	// PublicAddress is one as public services have: clients may refuse to
	// follow a registry into a private network (RFC 5737 keeps it for examples).
	PublicAddress = "203.0.113.1"
)

// prefix starts the names of a sandbox's folder and cgroup.
const prefix = "regcred-"

// inside marks the second run, with the way it got its privileges.
const inside = "REGCRED_SANDBOX"

// Privileged reports whether the sandbox is run by the machine's root.
func Privileged() bool { return os.Getenv(inside) == "root" }

// Run executes this program again in a sandbox where each of the host names
// resolves to its address, and there calls the function; its result is the exit
// code. Before, outside, prepare may fetch and build what needs the network;
// it returns a folder of programs to be found first.
func Run(hosts map[string]string, prepare func() (programs string, err error), call func() int) int {
	if os.Getenv(inside) != "" {
		if err := furnish(hosts); err != nil {
			return fail(err)
		}
		return call()
	}
	programs, err := prepare()
	if err != nil {
		return fail(err)
	}
	code, err := again(programs)
	if err != nil {
		return fail(err)
	}
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "sandbox:", err)
	return 1
}

// again runs this program in new namespaces, waits for it and removes its
// folder. Signals are passed on, so that it can end in its own way.
func again(programs string) (code int, err error) {
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, RemoveCgroup(filepath.Base(dir)), os.RemoveAll(dir)) }()

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	mode := "root"
	if os.Geteuid() != 0 {
		mode = "user"
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.Env = append(os.Environ(), inside+"="+mode, "TMPDIR="+dir,
		"PATH="+programs+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")

	// The kernel sends Pdeathsig when the starting thread ends, so it stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("running %s in new namespaces: %w (unprivileged user namespaces must be allowed, or run this as root)", os.Args[0], err)
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it may have ended meanwhile
			case <-done:
				return
			}
		}
	}()
	err = cmd.Wait()
	close(done)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if exit.ExitCode() < 0 {
			return 0, fmt.Errorf("%s ended: %w", os.Args[0], err)
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}
