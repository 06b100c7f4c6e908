package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/test/driver"
)

// full is how many volumes a full node has.
const full = 3000

const mebibyte = 1 << 20

// atRest measures what a full node's volumes cost while nothing happens:
// memory, goroutines, descriptors and processor time.
func atRest(ctx context.Context, p plan, b *budget) (err error) {
	program := p.driver
	var env []string
	if p.memory != nil {
		program, env = "/proc/self/exe", within(p.memory, p.driver)
	}
	s, d, err := startDriver(ctx, program, filepath.Join(p.dir, "rest"), env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	before, err := lookAt(ctx, d)
	if err != nil {
		return err
	}
	calls, err := publishMany(ctx, s, full, 16)
	if err != nil {
		return err
	}
	after, err := lookAt(ctx, d)
	if err != nil {
		return err
	}
	if p.memory != nil {
		charged, err := p.memory.memory()
		if err != nil {
			return err
		}
		of, err := p.memory.parts()
		if err != nil {
			return err
		}
		b.printf("\nmemory of %d volumes, in MiB: %.1f the process' own, %.1f files in tmpfs, %.1f other files, %.1f the kernel's structures\n", full,
			of["anon"]/mebibyte, of["shmem"]/mebibyte, (of["file"]-of["shmem"])/mebibyte, of["kernel"]/mebibyte)
		b.check(fmt.Sprintf("memory.current with %d volumes of three files", full), "%.1f MiB", 128, charged/mebibyte)
	}
	b.check("heap of a volume", "%.2f KiB", 4, (after.heap-before.heap)/full/1024)
	b.check(fmt.Sprintf("resident memory with %d volumes", full), "%.1f MiB", 35, after.resident/mebibyte)
	b.check(fmt.Sprintf("goroutines with %d volumes", full), "%.0f", 50, after.goroutines)
	b.check(fmt.Sprintf("descriptors of %d volumes", full), "%.0f", 5, after.descriptors-before.descriptors)

	const pause = 20 * time.Second
	from, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	if err := wait(ctx, pause); err != nil {
		return err
	}
	to, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	b.check(fmt.Sprintf("idle with %d volumes, over %v", full, pause), "%.3f %% of a core", 0.1, 100*float64(to-from)/float64(pause))
	return unpublishMany(ctx, s, calls)
}

// looked is what a process is seen to use.
type looked struct{ heap, resident, goroutines, descriptors float64 }

// lookAt reads the driver's own metrics until the garbage collector has run
// twice: between two collections the least that was in use is what lives.
func lookAt(ctx context.Context, d *driver.Driver) (l looked, err error) {
	const wanted = 2
	for first, last := -1.0, 0.0; first < 0 || last < first+wanted; {
		text, err := d.Page(ctx, "/metrics")
		if err != nil {
			return l, err
		}
		m := series(text)
		last = m["go_gc_duration_seconds_count"]
		if first < 0 {
			first, l.heap = last, m["go_memstats_heap_alloc_bytes"]
		}
		l.heap = min(l.heap, m["go_memstats_heap_alloc_bytes"])
		l.goroutines = m["go_goroutines"]
		l.resident = m["process_resident_memory_bytes"]
	}
	open, err := d.Descriptors()
	l.descriptors = float64(len(open))
	return l, err
}

// series reads the unlabelled series of a page of metrics.
func series(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			all[name] = v
		}
	}
	return all
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// publishMany prepares and publishes volumes 0 to n-1.
func publishMany(ctx context.Context, s *server, n, parallel int) ([]call, error) {
	calls, err := prepare(s.kubelet, 0, n)
	if err != nil {
		return nil, err
	}
	_, err = each(n, parallel, func(i int) error { return s.publish(ctx, calls[i]) })
	return calls, errors.Join(err, verify(s.pid(), calls))
}

func unpublishMany(ctx context.Context, s *server, calls []call) error {
	_, err := each(len(calls), 16, func(i int) error { return s.unpublish(ctx, calls[i]) })
	return err
}
