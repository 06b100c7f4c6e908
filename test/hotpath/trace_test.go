package hotpath

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/seccomp"
)

// mounting are the calls that make, move or end mounts. (Rewriting makes a
// private clone of a mount by open_tree, which no table shows.)
var mounting = map[int]string{
	unix.SYS_MOUNT: "mount", unix.SYS_UMOUNT2: "umount2", unix.SYS_FSMOUNT: "fsmount", unix.SYS_MOVE_MOUNT: "move_mount",
	unix.SYS_PIVOT_ROOT: "pivot_root",
}

// scanning are the newer ways to read the mount table.
var scanning = map[int]string{unix.SYS_LISTMOUNT: "listmount", unix.SYS_STATMOUNT: "statmount"}

// writing are the calls through which a log line, a record or a request goes.
var writing = map[int]string{unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev", unix.SYS_PWRITE64: "pwrite64"}

// connecting is how a request to anybody begins.
var connecting = map[int]string{unix.SYS_CONNECT: "connect"}

// table matches the files that show mounts.
var table = regexp.MustCompile(`^/proc/.*/(mountinfo|mounts|mountstats)$|^/proc/mounts$|^/etc/mtab$`)

// trace collects what the driver does.
type trace struct {
	supervisor *seccomp.Supervisor

	mu    sync.Mutex
	armed bool
	seen  []event
}

// event is one call. What it is about is a path, or the kind of a descriptor.
type event struct{ call, about string }

// String is for failures.
func (e event) String() string { return e.call + " " + e.about }

// newTrace waits for the driver.
func newTrace(t *testing.T, dir string) *trace {
	t.Helper()
	traced := slices.Clone(seccomp.Opens)
	for _, names := range []map[int]string{mounting, scanning, writing, connecting} {
		traced = slices.AppendSeq(traced, maps.Keys(names))
	}
	r := &trace{}
	var err error
	r.supervisor, err = seccomp.Supervise(filepath.Join(dir, "seccomp.sock"), "/proc/self/exe",
		seccomp.Filter{Calls: traced, Processes: true}, r.handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.supervisor.Close(); err != nil {
			t.Errorf("watching the driver: %v", err)
		}
	})
	return r
}

// arm starts to collect: what the driver does before it is ready, such as
// finding its runtime directory in the mount table, is not on the hot path.
func (r *trace) arm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = true
}

// take returns what was seen since the last time.
func (r *trace) take() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

const (
	aProcess = "process"
	anOpen   = "open"
)

// handle notes a call and lets it pass, unless it would make a process.
func (r *trace) handle(c seccomp.Call) unix.Errno {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.armed {
		return 0
	}
	e := describe(c)
	r.seen = append(r.seen, e)
	if e.call == aProcess {
		return unix.EPERM
	}
	return 0
}

func describe(c seccomp.Call) event {
	about := func(path string, err error) string {
		if err != nil {
			return err.Error()
		}
		return path
	}
	if slices.Contains(seccomp.Opens, c.Number) {
		return event{anOpen, about(c.Opened())}
	}
	if name, ok := writing[c.Number]; ok {
		what, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.TID, c.Args[0]))
		if kind, _, found := strings.Cut(what, ":["); found && kind == "socket" {
			what = kind // its number tells nothing
		}
		return event{name, about(what, err)}
	}
	for _, names := range []map[int]string{mounting, scanning, connecting} {
		if name, ok := names[c.Number]; ok {
			return event{call: name}
		}
	}
	return event{aProcess, fmt.Sprint("call ", c.Number)}
}

// forbidden are the events that no step may cause.
func forbidden(seen []event) []event {
	return slices.DeleteFunc(slices.Clone(seen), func(e event) bool {
		_, scan := index(scanning)[e.call]
		return e.call != aProcess && !scan && !(e.call == anOpen && table.MatchString(e.about))
	})
}

// mounts counts the mounting calls by name.
func mounts(seen []event) map[string]int {
	names, counts := index(mounting), map[string]int{}
	for _, e := range seen {
		if names[e.call] {
			counts[e.call]++
		}
	}
	return counts
}

func index(names map[int]string) map[string]bool {
	all := map[string]bool{}
	for _, name := range names {
		all[name] = true
	}
	return all
}
