package model

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// violation is what a run found: the rule, by which shrinking knows it again,
// and the story.
type violation struct {
	rule, story string
	line        int // of the script; its length = at the end
}

func wrong(rule, format string, args ...any) *violation {
	return &violation{rule: rule, story: fmt.Sprintf(format, args...)}
}

func (v *violation) Error() string { return v.rule + ": " + v.story }

// run is one script on one fresh node.
type run struct {
	base  string
	ctx   context.Context //nolint:containedctx // of the bubble, for the processes that it starts
	world *world
	books *books
	slots []*slot
	p     *process // nil while the driver is down

	up      time.Time       // when the process started
	faulted time.Time       // when something was last made to fail
	lost    time.Time       // when the runtime directory last was
	blind   bool            // when the process started, the private CA was missing
	faulty  bool            // something is made to fail now
	passing atomic.Bool     // nothing happens but that time passes, and nothing went wrong lately
	loose   map[string]bool // slots of which a record may be left, because its deletion failed

	mu    sync.Mutex
	rng   *rand.Rand
	trace *bytes.Buffer // nil unless somebody will read it
}

// settle is how long everything takes that does not wait for a provider's
// recovery.
const settle = 3 * time.Second

// piece is the longest time between two checks, and two calls of the kubelet.
const piece = 5 * time.Minute

// play runs a script and returns what it found, and with traced the whole story.
func play(t *testing.T, seed uint64, script []step, traced bool) (found *violation, story string) {
	base := t.TempDir()
	if err := unix.Mount("model", base, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	defer cleanUp(t, base)
	slots := newSlots(base)
	defer func() {
		for _, s := range slots {
			s.letGo()
		}
	}()
	r := &run{
		base: base, world: newWorld(), books: newBooks(), slots: slots, loose: map[string]bool{},
		rng: rand.New(rand.NewPCG(seed, 1)),
	}
	if traced {
		r.trace = &bytes.Buffer{}
		defer func() { story = r.trace.String() }()
	}
	if err := os.MkdirAll(base+"/kubelet/pods", 0o750); err != nil {
		t.Fatal(err)
	}
	watch := time.AfterFunc(2*time.Minute, func() {
		panic(fmt.Sprintf("a run hangs: seed %d, script:\n%s", seed, text(script)))
	})
	defer watch.Stop()
	defer func() {
		if p := recover(); p != nil && found == nil {
			found = wrong("panic", "%v\n%s", p, debug.Stack())
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		r.ctx = klog.NewContext(t.Context(), r.logger())
		found = r.whole(script)
		if r.p != nil {
			r.p.kill()
		}
	})
	return found, ""
}

// cleanUp takes every mount of a run away, also after a violation.
func cleanUp(t *testing.T, base string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var below []string
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 4 && (fields[4] == base || strings.HasPrefix(fields[4], base+"/")) {
			below = append(below, fields[4])
		}
	}
	for _, path := range slices.Backward(below) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Fatalf("unmounting %s: %v", path, err)
		}
	}
}

func (r *run) logger() logr.Logger {
	if r.trace == nil {
		return logr.Discard()
	}
	return funcr.New(func(_, args string) { r.note("log: %s", args) }, funcr.Options{})
}

func clock(t time.Time) string { return t.UTC().Format("02T15:04:05.000") }

func (r *run) note(format string, args ...any) {
	if r.trace == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.trace, "%s  %s\n", clock(time.Now()), fmt.Sprintf(format, args...))
}

// dice gives 0 to n-1.
func (r *run) dice(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

func (r *run) chance(most time.Duration) time.Duration { return time.Duration(r.dice(int(most))) }

// whole plays the script and ends everything in good order.
func (r *run) whole(script []step) *violation {
	if v := r.start(); v != nil {
		return v
	}
	for i, s := range script {
		r.note("=== %s", s)
		if v := r.do(s); v != nil {
			v.line = i
			return v
		}
	}
	r.note("=== the end")
	v := r.finish()
	if v != nil {
		v.line = len(script)
	}
	return v
}
