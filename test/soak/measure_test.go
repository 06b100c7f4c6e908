package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sizes are what must not grow.
type sizes struct {
	heap, rss               float64 // MiB
	goroutines, descriptors float64
}

func (s sizes) String() string {
	return fmt.Sprintf("heap %5.2f MiB, RSS %5.1f MiB, %2.0f goroutines, %2.0f descriptors", s.heap, s.rss, s.goroutines, s.descriptors)
}

// idle waits until no volume and no credential is left, and the garbage of
// both is collected: what is measured then is what the driver keeps.
func (n *node) idle() sizes {
	n.t.Helper()
	n.await("the end of volumes and credentials", n.nothingLeft)
	collected := n.metric("go_gc_duration_seconds_count")
	n.await("two garbage collections", func(context.Context) error {
		if n.metric("go_gc_duration_seconds_count") < collected+2 { // reading it makes garbage
			return errors.New("too few")
		}
		return nil
	})
	s := sizes{goroutines: n.metric("go_goroutines"), descriptors: n.metric("process_open_fds")}
	// The next collection comes at twice what the last one left; this knows
	// neither fresh garbage nor luck.
	s.heap = n.metric("go_memstats_next_gc_bytes") / 2 / (1 << 20)
	s.rss = n.rss()
	return s
}

// nothingLeft looks for mounts, directories and records.
func (n *node) nothingLeft(context.Context) error {
	if volumes := n.metric("regcred_volumes"); volumes != 0 {
		return fmt.Errorf("regcred_volumes is %v", volumes)
	}
	// The copy of the credential helper stays until the driver stops.
	if mounts := n.mounts(); !slices.Equal(mounts, []string{"driver/run", "driver/run/helper"}) {
		return fmt.Errorf("mounted: %q", mounts)
	}
	for _, pattern := range []string{"kubelet/pods/*", "driver/run/volumes/*", "driver/run/credentials/*", "driver/state/*/*"} {
		left, err := filepath.Glob(n.path(pattern))
		if err != nil || len(left) > 0 {
			return fmt.Errorf("left in %s: %d, %w", pattern, len(left), err)
		}
	}
	return nil
}

func (n *node) metric(series string) float64 {
	n.t.Helper()
	value, err := n.driver.Metric(n.t.Context(), series)
	must(n.t, err)
	return value
}

// counter is a metric that does not exist before it counts.
func (n *node) counter(series string) float64 {
	value, err := n.driver.Metric(n.t.Context(), series)
	if err != nil && !strings.Contains(err.Error(), "no metric") {
		n.t.Error(err)
	}
	return value
}

func (n *node) rss() float64 {
	n.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.driver.PID()))
	must(n.t, err)
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			must(n.t, err)
			return kib / 1024
		}
	}
	n.t.Fatal("no VmRSS")
	return 0
}
