package command

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapRoom is what new objects may take before the garbage is collected.
const heapRoom = 3 << 20

// keepHeapRoom gives the collector the same room whatever lives. In proportion
// to what lives, as it is by default, a node without volumes collects every
// hundred calls, and one with thousands of them holds megabytes of garbage.
func keepHeapRoom() {
	type sentinel struct{ _ [64]byte } // is garbage at once, and so found by each collection
	var watch func(int)
	watch = func(percent int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		wanted := int(100 * heapRoom / max(live[0].Value.Uint64(), heapRoom/8))
		if wanted < percent*9/10 || wanted > percent*11/10 { // setting it stops all goroutines for a moment
			percent = wanted
			debug.SetGCPercent(percent)
		}
		runtime.AddCleanup(new(sentinel), watch, percent)
	}
	watch(0)
}
