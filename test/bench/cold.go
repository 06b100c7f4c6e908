package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// coldStart publishes for many pods at once, on a driver that has just started.
func coldStart(ctx context.Context, p plan, b *budget) (err error) {
	const pods = 1000
	s, _, err := startDriver(ctx, p.driver, filepath.Join(p.dir, "cold"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	calls, err := prepare(s.kubelet, 0, pods)
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := each(pods, pods, func(i int) error { return s.publish(ctx, calls[i]) }); err != nil {
		return err
	}
	took := time.Since(began)
	if err := verify(s.pid(), calls); err != nil {
		return err
	}
	b.check(fmt.Sprintf("%d cold pods, all at once", pods), "%.2f s", 5, took.Seconds())
	return unpublishMany(ctx, s, calls)
}
