package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// plan is what to measure.
type plan struct {
	dir      string
	driver   string
	rounds   int
	standing []int
	parallel []int
}

// worker is anything that can be measured.
type worker interface {
	pid() int
	publish(i int) error
	republish(i int) error
	unpublish(i int) error
}

// figures are those of one worker under one condition.
type figures struct{ publish, republish, unpublish figure }

// maxOffFloor is how far the reference may be from the floor, in processor
// time, before ratios to it mean nothing.
const maxOffFloor = 3

func run(ctx context.Context, out io.Writer, p plan) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	raw := floor{dir: p.dir}
	reference, err := startReference(ctx, p.dir+"/reference")
	if err != nil {
		return err
	}
	defer reference.stop()
	driver, err := startDriver(ctx, p.driver, p.dir+"/driver")
	if err != nil {
		return err
	}
	defer driver.stop()
	servers := []*server{reference, driver}

	fmt.Fprintf(out, "%-9s %-4s %-10s %26s %26s %26s\n", "standing", "par", "", "publish p50 / cpu", "republish p50 / cpu", "unpublish p50 / cpu")
	stood, off := 0, false
	for _, standing := range p.standing {
		for ; stood < standing; stood++ {
			for _, s := range servers {
				if err := s.prepare(stood); err != nil {
					return err
				}
				if err := s.publish(stood); err != nil {
					return err
				}
			}
		}
		for _, parallel := range p.parallel {
			floors, err := cycle(raw, stood, p.rounds, parallel)
			if err != nil {
				return err
			}
			show(out, standing, parallel, "floor", floors)
			var both [2]figures
			for i, s := range servers {
				for n := range p.rounds {
					if err := s.prepare(stood + n); err != nil {
						return err
					}
				}
				if both[i], err = cycle(s, stood, p.rounds, parallel); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				show(out, standing, parallel, s.name, both[i])
			}
			fmt.Fprintf(out, "%-9s %-4s %-10s %26s %26s %26s\n\n", "", "", "ratio", ratio(both[1].publish, both[0].publish),
				ratio(both[1].republish, both[0].republish), ratio(both[1].unpublish, both[0].unpublish))
			off = off || both[0].publish.cpu > maxOffFloor*floors.publish.cpu
		}
	}
	if err := rest(ctx, out, driver, stood); err != nil {
		return err
	}
	if off {
		return fmt.Errorf("the reference took more than %d times the floor's processor time: the machine is too busy for ratios to mean anything", maxOffFloor)
	}
	return nil
}

// cycle publishes, republishes and unpublishes n volumes.
func cycle(w worker, first, n, parallel int) (f figures, err error) {
	if f.publish, err = measure(w.pid(), first, n, parallel, w.publish); err != nil {
		return f, fmt.Errorf("publish: %w", err)
	}
	if f.republish, err = measure(w.pid(), first, n, parallel, w.republish); err != nil {
		return f, fmt.Errorf("republish: %w", err)
	}
	if f.unpublish, err = measure(w.pid(), first, n, parallel, w.unpublish); err != nil {
		return f, fmt.Errorf("unpublish: %w", err)
	}
	return f, nil
}

// rest measures what standing volumes cost while nothing happens.
func rest(ctx context.Context, out io.Writer, driver *server, standing int) error {
	const pause = 10 * time.Second
	before, err := cpuOf(driver.pid())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
	}
	after, err := cpuOf(driver.pid())
	if err != nil {
		return err
	}
	resident, err := residentOf(driver.pid())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "driver with %d volumes: %.1f MiB resident, idle %.2f %% of a core over %v\n", standing, resident,
		100*float64(after-before)/float64(pause), pause)
	return nil
}

func show(out io.Writer, standing, parallel int, name string, f figures) {
	cell := func(f figure) string {
		return fmt.Sprintf("%v / %v", f.p50.Round(time.Microsecond), f.cpu.Round(time.Microsecond))
	}
	fmt.Fprintf(out, "%-9d %-4d %-10s %26s %26s %26s\n", standing, parallel, name, cell(f.publish), cell(f.republish), cell(f.unpublish))
}

func ratio(a, b figure) string {
	return fmt.Sprintf("%.2f / %.2f", float64(a.p50)/float64(b.p50), float64(a.cpu)/float64(max(b.cpu, 1)))
}
