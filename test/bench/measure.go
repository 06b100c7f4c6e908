package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// figure is one measurement.
type figure struct {
	p50 time.Duration // of a call, at the caller
	cpu time.Duration // per call, of the process that does the work
}

// measure runs do for 0 to n-1, so many at a time.
func measure(pid, n, parallel int, do func(int) error) (figure, error) {
	before, err := cpuOf(pid)
	if err != nil {
		return figure{}, err
	}
	took, err := each(n, parallel, do)
	if err != nil {
		return figure{}, err
	}
	after, err := cpuOf(pid)
	return figure{p50: median(took), cpu: (after - before) / time.Duration(n)}, err
}

// each runs do for 0 to n-1, so many at a time, and tells how long each took.
func each(n, parallel int, do func(int) error) ([]time.Duration, error) {
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
				if err := do(i); err != nil {
					failed.Store(&err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return took, nil
}

type ordered interface{ ~int64 | ~float64 }

// median is the middle value; of nothing, zero.
func median[T ordered](all []T) T { return quantile(all, 0.5) }

// quantile is the value below which that part of all lies.
func quantile[T ordered](all []T, part float64) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}
