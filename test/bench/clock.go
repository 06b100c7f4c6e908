package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// processClock is CPUCLOCK_SCHED of linux/posix-timers.h: with a process id it
// names that process' own clock, see clock_getcpuclockid(3).
const processClock = 2

// cpuOf returns the processor time that a process has used, to the nanosecond,
// with that of threads that have ended. It is what the scheduler counts for
// cgroups too, and needs no cgroup.
func cpuOf(pid int) (time.Duration, error) {
	var used unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|processClock), &used); err != nil {
		return 0, fmt.Errorf("reading the processor clock of process %d: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}
