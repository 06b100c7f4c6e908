// Command bench holds the driver against its budgets (docs/performance.md).
//
// It compares the driver with the least that could do its job, in one run and
// on one machine: a raw loop of system calls (the floor), a CSI server that
// does just those (the reference), and the driver itself. Then it measures
// what 3,000 volumes cost at rest, over a restart and while content changes.
//
// It works in a mount namespace of its own and ends everything it starts.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// plan is what to measure.
type plan struct {
	dir      string // on a disk, as the kubelet's directories are
	driver   string
	calls    int // per round
	rounds   int
	standing []int
	parallel []int
	memory   *cgroup // for the driver whose memory is measured; nil where none can be made
}

func bench() error {
	if len(os.Args) == 3 && os.Args[1] == referenceVerb {
		return serveReference(os.Args[2])
	}
	if order := os.Getenv(launchEnv); order != "" {
		return become(order)
	}
	var p plan
	flag.StringVar(&p.driver, "driver", "bin/csi-driver", "the driver's binary")
	flag.StringVar(&p.dir, "dir", "/var/tmp", "where the kubelet directories are made; a node has them on a disk")
	flag.IntVar(&p.calls, "n", 250, "calls per round")
	flag.IntVar(&p.rounds, "rounds", 9, "rounds per condition, each of the floor, the reference and the driver in turn")
	standing := flag.String("volumes", "0,1000,3000", "volumes that stand meanwhile")
	parallel := flag.String("concurrency", "1,16", "calls at a time")
	only := flag.String("only", "", "run only these parts, separated by commas: "+strings.Join(partNames(), ", "))
	strict := flag.Bool("strict", false, "fail when a budget is exceeded, not only when the reference is too slow to compare with")
	flag.Parse()
	if os.Getenv(dirEnv) == "" {
		return inNamespace(p.dir)
	}
	p.dir = os.Getenv(dirEnv)
	err := json.Unmarshal([]byte(os.Getenv(memoryEnv)), &p.memory)
	if err != nil {
		return err
	}
	if p.standing, err = numbers(*standing); err != nil {
		return err
	}
	if p.parallel, err = numbers(*parallel); err != nil {
		return err
	}
	if p.driver, err = filepath.Abs(p.driver); err != nil {
		return err
	}
	// The kernel kills the servers when the thread that started them ends, so
	// one thread that lasts starts them all.
	runtime.LockOSThread()
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	budget := newBudget(os.Stdout)
	if err := run(ctx, p, *only, budget); err != nil {
		return err
	}
	budget.show()
	return budget.verdict(*strict)
}

// These tell the program, run again in its namespace, where to work.
const (
	dirEnv    = "REGCRED_BENCH_DIR"
	memoryEnv = "REGCRED_BENCH_MEMORY"
)

// inNamespace runs this program again where its mounts concern nobody else,
// and removes what is left when it has ended, however it did.
func inNamespace(parent string) (err error) {
	dir, err := os.MkdirTemp(parent, "regcred-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	group, err := newCgroup(filepath.Base(dir))
	if err == nil {
		defer func() { err = errors.Join(err, group.remove()) }()
	} else {
		fmt.Println("memory.current is not measured:", err)
	}
	memory, err := json.Marshal(group)
	if err != nil {
		return err
	}
	cmd.Env = append(os.Environ(), dirEnv+"="+dir, memoryEnv+"="+string(memory))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	// The child ends in order, and then this one removes. (Ctrl-C reaches both
	// anyway; a second signal changes nothing.)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended meanwhile
		}
	}()
	err = cmd.Wait()
	signal.Stop(signals)
	close(signals)
	return err
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
