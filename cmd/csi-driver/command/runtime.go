package command

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// oneProcessor runs the driver's Go code on one processor at a time; system
// calls do not count. The work is short and mostly the kernel's, and with more
// processors a good part of it would be waking threads up that find nothing to
// do. Whoever sets GOMAXPROCS decides otherwise.
func oneProcessor() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// heapRoom is what new objects may take before the garbage is collected.
const heapRoom = 3 << 20

// leastPercent keeps a huge heap from being collected all the time.
const leastPercent = 20

// keepHeapRoom gives the collector the same room whatever lives. In proportion
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
		wanted := max(leastPercent, int(100*heapRoom/max(live[0].Value.Uint64(), heapRoom/8)))
		if wanted < percent*9/10 || wanted > percent*11/10 { // setting it stops all goroutines for a moment
			percent = wanted
			debug.SetGCPercent(percent)
		}
		runtime.AddCleanup(new(sentinel), watch, percent)
	}
	watch(0)
}
