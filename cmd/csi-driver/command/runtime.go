package command

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Processors for the driver's Go code; system calls do not count.
const (
	fewCalls  = 1
	manyCalls = 2
)

// processors gives the driver's Go code one processor while calls come one by
// one, and two while they queue up. The work is short and mostly the kernel's:
// with a second processor a good part of it would be waking threads up that
// find nothing to do, which pays only where others wait. Whoever sets GOMAXPROCS
// decides otherwise.
func processors() (crowded func(bool)) {
	if os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	most := min(manyCalls, runtime.GOMAXPROCS(0))
	runtime.GOMAXPROCS(fewCalls)
	return func(many bool) {
		if many {
			runtime.GOMAXPROCS(most)
		} else {
			runtime.GOMAXPROCS(fewCalls)
		}
	}
}

const (
	// heapGoal is the heap at which garbage is collected, as long as less lives.
	heapGoal = 8 << 20
	// heapRoom is what new objects may take at least before that.
	heapRoom = 3 << 20
)

const (
	// leastPercent keeps a huge heap from being collected all the time.
	leastPercent = 20
	// mostPercent makes Go's own least heap, which is 4 MiB at 100 percent, the
	// goal: at the start nothing is known to live.
	mostPercent = 100 * heapGoal / (4 << 20)
)

// keepHeapRoom lets the heap reach the same size whatever lives. In proportion
// to what lives, as it is by default, a node without volumes collects every
// hundred calls, and one with thousands of them holds megabytes of garbage.
func keepHeapRoom() {
	if os.Getenv("GOGC") != "" {
		return // whoever sets it decides
	}
	type sentinel struct{ _ [64]byte } // is garbage at once, and so found by each collection
	var watch func(int)
	watch = func(percent int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		lives := max(int(live[0].Value.Uint64()), 1)
		wanted := min(mostPercent, max(leastPercent, 100*max(heapRoom, heapGoal-lives)/lives))
		if wanted < percent*9/10 || wanted > percent*11/10 { // setting it stops all goroutines for a moment
			percent = wanted
			debug.SetGCPercent(percent)
		}
		runtime.AddCleanup(new(sentinel), watch, percent)
	}
	watch(0)
}
