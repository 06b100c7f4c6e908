package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// flat is how much dearer a publish may be for the volumes that stand already.
const flat = 1.25

// worker is anything that publishes.
type worker interface {
	name() string
	pid() int
	publish(context.Context, call) error
	unpublish(context.Context, call) error
}

// contestants are compared, in this order. The empty driver is one that sees
// none of the volumes that stand, in a mount namespace of its own.
const (
	theFloor = iota
	theReference
	theDriver
	theEmptyDriver
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

	empty, _, err := startDriver(ctx, "/proc/self/exe", filepath.Join(dir, "empty"), apart(p.driver))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, empty.stop()) }()
	empty.label = "empty driver"

	workers := [contestants]worker{floor{}, reference, driver, empty}
	kubelets := [contestants]*kubelet.Kubelet{raw, reference.kubelet, driver.kubelet, empty.kubelet}
	var stood int
	var all []condition
	for _, standing := range p.standing {
		for _, i := range []int{theReference, theDriver} {
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
	if err := verify(w.pid(), calls); err != nil {
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
		{"driver/empty driver p50", theDriver, theEmptyDriver, p50Of},
		{"driver/empty driver cpu", theDriver, theEmptyDriver, cpuPer},
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
	// With several calls at a time a p50 is mostly the queue for the
	// processors, in which a loop that calls nobody does not stand.
	alone := slices.DeleteFunc(slices.Clone(all), func(c condition) bool { return c.parallel > 1 })
	b.comparable("processor time", offFloor(all, cpuPer))
	b.comparable("p50, one call at a time,", offFloor(alone, p50Of))
	for _, c := range all {
		where := fmt.Sprintf("at %d volumes, %d at a time", c.standing, c.parallel)
		for step, limit := range [steps]float64{2, 1.3, 1.5} {
			b.check(stepNames[step]+" cpu "+where, "%.2f× reference", limit, median(c.ratios(theDriver, theReference, step, cpuPer)))
			b.check(stepNames[step]+" p50 "+where, "%.2f× reference", limit, median(c.ratios(theDriver, theReference, step, p50Of)))
		}
		if c.standing > 0 {
			b.check("publish cpu "+where, "%.2f× empty driver", flat, median(c.ratios(theDriver, theEmptyDriver, publish, cpuPer)))
			b.check("publish p50 "+where, "%.2f× empty driver", flat, median(c.ratios(theDriver, theEmptyDriver, publish, p50Of)))
		}
	}
}

// offFloor is by how much the reference's publish and unpublish together cost
// more than the floor's.
func offFloor(all []condition, of cost) float64 {
	var ratios []float64
	for _, c := range all {
		for i, round := range c.rounds[theReference] {
			raw := c.rounds[theFloor][i]
			ratios = append(ratios, float64(of(round[publish])+of(round[unpublish]))/float64(of(raw[publish])+of(raw[unpublish])))
		}
	}
	return median(ratios)
}
