package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// figure is one measurement.
type figure struct {
	p50 time.Duration // of a call, at the caller
	cpu time.Duration // per call, of the process that does the work
}

// measure runs do for n numbers from first on, so many at a time.
func measure(pid, first, n, parallel int, do func(int) error) (figure, error) {
	before, err := cpuOf(pid)
	if err != nil {
		return figure{}, err
	}
	took := make([]time.Duration, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range parallel {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || failed.Load() != nil {
					return
				}
				began := time.Now()
				if err := do(first + i); err != nil {
					failed.Store(&err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return figure{}, *err
	}
	after, err := cpuOf(pid)
	slices.Sort(took)
	return figure{p50: took[n/2], cpu: (after - before) / time.Duration(n)}, err
}

// tick is the unit of /proc/PID/stat, the same on every Linux architecture
// that Go supports.
const tick = 10 * time.Millisecond

// cpuOf returns the processor time that a process has used.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold blanks
	fields := strings.Fields(rest)
	var total time.Duration
	for _, field := range fields[11:13] { // utime and stime, proc_pid_stat(5)
		ticks, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ticks) * tick
	}
	return total, nil
}

// residentOf returns the resident memory of a process in MiB.
func residentOf(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			return float64(kib) / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
