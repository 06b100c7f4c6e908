// Command bench compares the driver with the least that could do its job, in
// one run and on one machine: a raw loop of system calls (the floor), a CSI
// server that does just those (the reference), and the driver itself. It
// prints ratios, and fails when the reference is so far from the floor that
// they would mean nothing.
//
// It works in a mount namespace of its own and ends everything it starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	if len(os.Args) == 3 && os.Args[1] == "reference" {
		return serveReference(os.Args[2])
	}
	driver := flag.String("driver", "bin/csi-driver", "the driver's binary")
	rounds := flag.Int("n", 600, "volumes per measurement")
	standing := flag.String("volumes", "0,1000,3000", "volumes that stand meanwhile")
	parallel := flag.String("concurrency", "1,16", "calls at a time")
	flag.Parse()
	dir := os.Getenv(dirEnv)
	if dir == "" {
		return inNamespace()
	}
	p := plan{dir: dir, driver: *driver, rounds: *rounds}
	var err error
	if p.standing, err = numbers(*standing); err != nil {
		return err
	}
	if p.parallel, err = numbers(*parallel); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Stdout, p)
}

// dirEnv tells the program, run again in its namespace, where to work.
const dirEnv = "REGCRED_BENCH_DIR"

// inNamespace runs this program again where its mounts concern nobody else,
// and removes what is left when they are gone.
func inNamespace() (err error) {
	dir, err := os.MkdirTemp("", "regcred-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), dirEnv+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd.Run()
}

func numbers(list string) (all []int, err error) {
	for item := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(item)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}
