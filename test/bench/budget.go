package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// budget collects what was promised beside what was measured.
type budget struct {
	out          io.Writer
	lines        []line
	incomparable []string // why ratios to the reference mean nothing
}

type line struct {
	what, promised, measured string
	good                     bool
}

func newBudget(out io.Writer) *budget { return &budget{out: out} }

// printf writes a result that is no budget.
func (b *budget) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) }

// check adds a line. limit and got are in the same unit, which format shows.
func (b *budget) check(what, format string, limit, got float64) {
	b.note(what, "≤ "+fmt.Sprintf(format, limit), fmt.Sprintf(format, got), got <= limit)
}

// note adds a line whose verdict the caller found.
func (b *budget) note(what, promised, measured string, good bool) {
	b.lines = append(b.lines, line{what, promised, measured, good})
}

// maxOffFloor is how far the reference may be from the floor before ratios to
// it mean nothing.
const maxOffFloor = 3

// comparable adds the line of the reference itself.
func (b *budget) comparable(what string, ratio float64) {
	b.check("reference's "+what+" of a whole life", "%.2f× floor", maxOffFloor, ratio)
	if ratio > maxOffFloor {
		b.incomparable = append(b.incomparable, fmt.Sprintf("its %s is %.1f times the floor's (at most %d)", what, ratio, maxOffFloor))
	}
}

func (b *budget) show() {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nbudget\tpromised\tmeasured\tverdict")
	for _, l := range b.lines {
		verdict := "ok"
		if !l.good {
			verdict = "OVER"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.what, l.promised, l.measured, verdict)
	}
	_ = w.Flush() // the writer below is the terminal
}

// verdict fails when nothing can be compared, and with strict when a budget is
// exceeded.
func (b *budget) verdict(strict bool) error {
	var over []string
	for _, l := range b.lines {
		if !l.good {
			over = append(over, l.what)
		}
	}
	if len(b.incomparable) > 0 {
		return fmt.Errorf("ratios to the reference mean nothing here: %s", strings.Join(b.incomparable, "; "))
	}
	if strict && len(over) > 0 {
		return errors.New("over budget: " + strings.Join(over, "; "))
	}
	return nil
}
