package main

import (
	"errors"
	"io"
	"testing"
	"time"
)

func TestPlace(t *testing.T) {
	const own = "9:name=systemd:/\n5:devices,memory:/kube/pod\n0::/kube.slice/pod\n"
	for version2, want := range map[bool]string{false: "/kube/pod", true: "/kube.slice/pod"} {
		if got := place(own, version2); got != want {
			t.Errorf("version 2 %v: %q, want %q", version2, got, want)
		}
	}
	if got := place("3:cpu:/x\n", false); got != "/" {
		t.Errorf("without a memory controller: %q", got)
	}
}

func TestQuantile(t *testing.T) {
	all := []time.Duration{5, 1, 4, 2, 3}
	for part, want := range map[float64]time.Duration{0: 1, 0.25: 2, 0.5: 3, 0.75: 4, 1: 5} {
		if got := quantile(all, part); got != want {
			t.Errorf("quantile %v: %v, want %v", part, got, want)
		}
	}
	if got := median([]float64{}); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestOffFloor(t *testing.T) {
	round := func(up, down time.Duration) cycle {
		return cycle{publish: {cpu: up}, unpublish: {cpu: down}}
	}
	c := condition{}
	c.rounds[theFloor] = []cycle{round(60, 40), round(60, 40), round(60, 40)}
	c.rounds[theReference] = []cycle{round(100, 100), round(200, 100), round(9000, 9000)}
	if got := offFloor([]condition{c}, cpuPer); got != 3 {
		t.Errorf("%v, want the median of 2, 3 and 180", got)
	}
}

// TestVerdict holds when the program fails: always when its reference is too
// slow, with -strict when a budget is exceeded.
func TestVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		off, got      float64
		loose, strict string
	}{
		"all is well": {off: 3, got: 1},
		"over budget": {off: 3, got: 1.1, strict: "over budget: thing"},
		"slow reference": {
			off: 3.1, got: 1,
			loose:  "ratios to the reference mean nothing here: its time is 3.1 times the floor's (at most 3)",
			strict: "ratios to the reference mean nothing here: its time is 3.1 times the floor's (at most 3)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBudget(io.Discard)
			b.comparable("time", test.off)
			b.check("thing", "%.1f", 1, test.got)
			for strict, want := range map[bool]string{false: test.loose, true: test.strict} {
				err := b.verdict(strict)
				if err == nil {
					err = errors.New("")
				}
				if err.Error() != want {
					t.Errorf("strict %v: %q, want %q", strict, err, want)
				}
			}
		})
	}
}

// TestCPU holds that the clock counts what this process does, and that of no
// process is an error.
func TestCPU(t *testing.T) {
	before, err := cpuOf(1)
	if err != nil || before <= 0 {
		t.Errorf("process 1 has used %v, %v", before, err)
	}
	if _, err := cpuOf(1 << 28); err == nil {
		t.Error("a process that is not there has a clock")
	}
}
