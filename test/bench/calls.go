package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// maxOffFloor is how far the reference may be from the floor before ratios to
// it mean nothing.
const maxOffFloor = 3

// worker is anything that publishes.
type worker interface {
	name() string
	pid() int
	publish(context.Context, call) error
	unpublish(context.Context, call) error
}

// contestants are compared, in this order.
const (
	theFloor = iota
	theReference
	theDriver
	contestants
)

// The calls of one volume's life.
const (
	publish = iota
	republish
	unpublish
	steps
)

var stepNames = [steps]string{"publish", "republish", "unpublish"}

// cycle is what one round measured of one contestant.
type cycle [steps]figure

// condition is one row of conditions and all that was measured in it.
type condition struct {
	standing, parallel int
	rounds             [contestants][]cycle
}

// compareCalls measures publish, republish and unpublish of all contestants
// under every condition.
func compareCalls(ctx context.Context, p plan, b *budget) (err error) {
	dir := filepath.Join(p.dir, "calls")
	if err := os.Mkdir(dir, 0o750); err != nil {
		return err
	}
	raw, err := kubelet.New(filepath.Join(dir, "floor"), "unix:///nobody") // makes directories, calls nobody
	if err != nil {
		return err
	}
	reference, err := startReference(ctx, filepath.Join(dir, "reference"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.stop()) }()
	driver, _, err := startDriver(ctx, p.driver, filepath.Join(dir, "driver"), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, driver.stop()) }()

	workers := [contestants]worker{floor{}, reference, driver}
	kubelets := [contestants]*kubelet.Kubelet{raw, reference.kubelet, driver.kubelet}
	var stood int
	var all []condition
	for _, standing := range p.standing {
		for i := theReference; i < contestants; i++ {
			calls, err := prepare(kubelets[i], stood, standing-stood)
			if err != nil {
				return err
			}
			if _, err := each(len(calls), 1, func(k int) error { return workers[i].publish(ctx, calls[k]) }); err != nil {
				return fmt.Errorf("%s: %w", workers[i].name(), err)
			}
		}
		stood = standing
		var calls [contestants][]call
		for i, k := range kubelets {
			if calls[i], err = prepare(k, stood, p.calls); err != nil {
				return err
			}
		}
		for _, parallel := range p.parallel {
			c := condition{standing: standing, parallel: parallel}
			for round := range p.rounds {
				for turn := range contestants {
					i := (round + turn) % contestants // nobody is always the first
					measured, err := oneCycle(ctx, workers[i], calls[i], parallel)
					if err != nil {
						return fmt.Errorf("%s: %w", workers[i].name(), err)
					}
					c.rounds[i] = append(c.rounds[i], measured)
				}
			}
			c.show(b, workers, p)
			all = append(all, c)
		}
	}
	judge(b, all)
	return nil
}

// oneCycle publishes, republishes and unpublishes all.
func oneCycle(ctx context.Context, w worker, calls []call, parallel int) (c cycle, err error) {
	of := func(do func(context.Context, call) error) (figure, error) {
		return measure(w.pid(), len(calls), parallel, func(i int) error { return do(ctx, calls[i]) })
	}
	if c[publish], err = of(w.publish); err != nil {
		return c, fmt.Errorf("publish: %w", err)
	}
	if c[republish], err = of(w.publish); err != nil {
		return c, fmt.Errorf("republish: %w", err)
	}
	if err := verify(calls); err != nil {
		return c, err
	}
	if c[unpublish], err = of(w.unpublish); err != nil {
		return c, fmt.Errorf("unpublish: %w", err)
	}
	return c, nil
}

// cost reads one of a figure's two values.
type cost func(figure) time.Duration

func p50Of(f figure) time.Duration  { return f.p50 }
func cpuPer(f figure) time.Duration { return f.cpu }

// typical is the median over the rounds.
func (c condition) typical(who, step int, of cost) time.Duration {
	return median(c.each(who, step, of))
}

func (c condition) each(who, step int, of cost) []time.Duration {
	var all []time.Duration
	for _, round := range c.rounds[who] {
		all = append(all, of(round[step]))
	}
	return all
}

// ratios are those of one contestant to another, round by round: what
// disturbed a round disturbed both.
func (c condition) ratios(who, to, step int, of cost) []float64 {
	a, b := c.each(who, step, of), c.each(to, step, of)
	all := make([]float64, len(a))
	for i := range a {
		all[i] = float64(a[i]) / float64(max(b[i], 1))
	}
	return all
}

// show prints the table of one condition.
func (c condition) show(b *budget, workers [contestants]worker, p plan) {
	b.printf("\n%d volumes stand, %d calls at a time, %d rounds of %d calls (p50 / processor time of a call)\n", c.standing, c.parallel, p.rounds, p.calls)
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	for _, name := range stepNames {
		fmt.Fprintf(w, "%s\t", name)
	}
	fmt.Fprintln(w)
	for who, worker := range workers {
		fmt.Fprintf(w, "%s\t", worker.name())
		for step := range steps {
			fmt.Fprintf(w, "%s / %s\t", micro(c.typical(who, step, p50Of)), micro(c.typical(who, step, cpuPer)))
		}
		fmt.Fprintln(w)
	}
	for _, row := range []struct {
		label   string
		who, to int
		of      cost
	}{
		{"reference/floor p50", theReference, theFloor, p50Of},
		{"reference/floor cpu", theReference, theFloor, cpuPer},
		{"driver/reference p50", theDriver, theReference, p50Of},
		{"driver/reference cpu", theDriver, theReference, cpuPer},
	} {
		fmt.Fprintf(w, "%s\t", row.label)
		for step := range steps {
			fmt.Fprintf(w, "%s\t", spread(c.ratios(row.who, row.to, step, row.of)))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // the writer below is the terminal
}

// spread shows the median and the middle half of the rounds.
func spread(ratios []float64) string {
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75))
}

func micro(d time.Duration) string {
	return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
}

// judge compares with the budgets, and the reference with the floor.
func judge(b *budget, all []condition) {
	first := map[int]condition{} // by concurrency, with the fewest volumes
	for _, c := range all {
		where := fmt.Sprintf("at %d volumes, %d at a time", c.standing, c.parallel)
		// A life is compared, up and down. With several calls at a time the
		// p50 is mostly the queue for the processors, in which a loop that
		// calls nobody does not stand.
		costs := map[string]cost{"processor time": cpuPer}
		if c.parallel == 1 {
			costs["p50"] = p50Of
		}
		for name, of := range costs {
			up, down := c.each(theReference, publish, of), c.each(theReference, unpublish, of)
			rawUp, rawDown := c.each(theFloor, publish, of), c.each(theFloor, unpublish, of)
			var off []float64
			for i := range up {
				off = append(off, float64(up[i]+down[i])/float64(rawUp[i]+rawDown[i]))
			}
			if ratio := median(off); ratio > maxOffFloor {
				b.incomparable = append(b.incomparable, fmt.Sprintf("its %s is %.1f times the floor's %s (at most %d)", name, ratio, where, maxOffFloor))
			}
		}
		for step, limit := range [steps]float64{2, 1.3, 1.5} {
			b.check(stepNames[step]+" cpu "+where, "%.2f× reference", limit, median(c.ratios(theDriver, theReference, step, cpuPer)))
			b.check(stepNames[step]+" p50 "+where, "%.2f× reference", limit, median(c.ratios(theDriver, theReference, step, p50Of)))
		}
		base, ok := first[c.parallel]
		if !ok {
			first[c.parallel] = c
			continue
		}
		// The machine's own drift between the conditions shows in the
		// reference as well, and is taken out by it.
		for name, of := range map[string]cost{"cpu": cpuPer, "p50": p50Of} {
			drift := float64(c.typical(theReference, publish, of)) / float64(base.typical(theReference, publish, of))
			change := float64(c.typical(theDriver, publish, of))/float64(base.typical(theDriver, publish, of))/drift - 1
			b.note("publish "+name+" flat "+where, "±25 % of the first", fmt.Sprintf("%+.0f %%", 100*change), change <= 0.25 && change >= -0.25)
		}
	}
}
