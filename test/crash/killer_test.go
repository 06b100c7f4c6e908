package crash

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/seccomp"
)

// changing are the system calls after which the world is another: each is a
// point at which the driver can be killed. Go makes no others of their kind,
// such as rename or mkdir. (sendmsg is the launcher's own.)
var changing = map[int]string{
	unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2",
	unix.SYS_MKDIRAT: "mkdirat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
	unix.SYS_SYMLINKAT: "symlinkat", unix.SYS_LINKAT: "linkat", unix.SYS_FCHMOD: "fchmod", unix.SYS_FCHMODAT: "fchmodat",
	unix.SYS_FCHMODAT2: "fchmodat2", unix.SYS_FCHOWN: "fchown", unix.SYS_FCHOWNAT: "fchownat", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_TRUNCATE: "truncate", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FLOCK: "flock",
	unix.SYS_FSOPEN: "fsopen", unix.SYS_FSCONFIG: "fsconfig", unix.SYS_FSMOUNT: "fsmount", unix.SYS_MOVE_MOUNT: "move_mount",
	unix.SYS_OPEN_TREE: "open_tree", unix.SYS_MOUNT_SETATTR: "mount_setattr", unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2",
	unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_WRITEV: "writev", unix.SYS_SENDTO: "sendto",
	unix.SYS_CONNECT: "connect", unix.SYS_BIND: "bind", unix.SYS_LISTEN: "listen", unix.SYS_ACCEPT4: "accept4",
}

// killer kills the driver before the system call that it is told. It is never
// late: the thread that made the call waits for its answer.
type killer struct {
	supervisor *seccomp.Supervisor

	mu    sync.Mutex
	armed int    // calls left; 0 = let everything pass
	only  string // the call that counts; empty = every changing one
	dead  int    // the process that was killed; its other threads change nothing any more
	at    string
}

func newKiller(t *testing.T, dir string) *killer {
	t.Helper()
	k := &killer{}
	supervisor, err := seccomp.Supervise(filepath.Join(dir, "seccomp.sock"), "/proc/self/exe",
		seccomp.Filter{Calls: slices.Collect(maps.Keys(changing))}, k.decide)
	if err != nil {
		t.Fatalf("these tests need Linux 5.12 or newer with CONFIG_SECCOMP_FILTER: %v", err)
	}
	k.supervisor = supervisor
	t.Cleanup(func() {
		if err := supervisor.Close(); err != nil {
			t.Errorf("the supervisor of the system calls: %v (these tests need Linux 5.12 or newer with CONFIG_SECCOMP_FILTER, and no outer filter that hides user notification)", err)
		}
	})
	return k
}

// Arm has the n-th changing call from now kill the driver, in place of being
// made; n = 0 lets everything pass. A driver that was killed before has ended.
func (k *killer) Arm(n int) { k.arm(n, "") }

// ArmBefore has the next call of this name kill the driver.
func (k *killer) ArmBefore(name string) { k.arm(1, name) }

func (k *killer) arm(n int, only string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed, k.only, k.at, k.dead = n, only, "", 0
}

// Disarm lets everything pass again, and tells before which call the driver
// was killed since Arm; empty when it was not.
func (k *killer) Disarm() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.armed = 0
	return k.at
}

// Hit tells whether the driver was killed since Arm.
func (k *killer) Hit() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at != ""
}

// decide is the supervisor's handler. Its answer to a dead process does not
// matter, as long as the call is not made.
func (k *killer) decide(c seccomp.Call) unix.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead != 0 && processOf(c.TID) == k.dead {
		return unix.EPERM
	}
	if k.armed == 0 || !changes(c) || (k.only != "" && k.only != changing[c.Number]) {
		return 0
	}
	k.armed--
	if k.armed > 0 {
		return 0
	}
	k.dead = processOf(c.TID)
	k.at = describe(c)
	if err := unix.Kill(k.dead, unix.SIGKILL); err != nil {
		k.at = "" // it died by itself
	}
	return unix.EPERM
}

// changes leaves out what looks only, what the runtime writes to wake itself,
// and the log.
func changes(c seccomp.Call) bool {
	switch c.Number {
	case unix.SYS_OPENAT:
		return c.Args[2]&(unix.O_CREAT|unix.O_TRUNC) != 0
	case unix.SYS_OPENAT2:
		return false // the product makes nothing with it; its flags lie in memory
	case unix.SYS_WRITE:
		const stderr, wakeUp = 2, 8
		return c.Args[0] != stderr && c.Args[2] != wakeUp
	default:
		return true
	}
}

// processOf gives the process that a thread belongs to; 0 when it is gone.
func processOf(tid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var pid int
		if n, _ := fmt.Sscanf(line, "Tgid: %d", &pid); n == 1 {
			return pid
		}
	}
	return 0
}

func describe(c seccomp.Call) string {
	name := changing[c.Number]
	switch c.Number {
	case unix.SYS_OPENAT, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT, unix.SYS_RENAMEAT:
		if path, err := c.Path(0, 1); err == nil {
			return name + " " + path
		}
	case unix.SYS_SYMLINKAT:
		if path, err := c.Path(1, 2); err == nil {
			return name + " " + path
		}
	case unix.SYS_WRITE, unix.SYS_FSYNC, unix.SYS_FTRUNCATE:
		if path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.TID, c.Args[0])); err == nil {
			return name + " " + path
		}
	}
	return name
}
