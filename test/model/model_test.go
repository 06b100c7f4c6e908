package model

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	// length is the steps of one run, each on a fresh node.
	length = 120
	// steadyRuns have the seeds 1, 2, 3 …: the same at each test.
	steadyRuns = 140
	// defaultSteps is what make test does altogether.
	defaultSteps = 20_000
	// tries is how often a script that failed once is played until it counts as
	// good: the order of goroutines and the jitter of schedules differ.
	tries = 12
	// shrinkTime bounds the work of shrinking.
	shrinkTime = time.Minute
)

// TestModel plays random scripts. REGCRED_MODEL_STEPS asks for more steps,
// REGCRED_MODEL_SEED for one run with that seed.
func TestModel(t *testing.T) {
	if one := os.Getenv("REGCRED_MODEL_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("REGCRED_MODEL_SEED: %v", err)
		}
		for range tries {
			random(t, seed)
		}
		return
	}
	total := defaultSteps
	if more := os.Getenv("REGCRED_MODEL_STEPS"); more != "" {
		var err error
		if total, err = strconv.Atoi(more); err != nil {
			t.Fatalf("REGCRED_MODEL_STEPS: %v", err)
		}
	}
	fresh := uint64(time.Now().UnixNano())
	t.Logf("%d runs of %d steps: seeds 1 to %d, and from %d on", (total+length-1)/length, length, steadyRuns, fresh)
	for i, done := uint64(1), 0; done < total; i, done = i+1, done+length {
		seed := i
		if i > steadyRuns {
			seed = fresh + i
		}
		random(t, seed)
	}
}

// random plays the script of a seed; a failure is shrunk and written down.
func random(t *testing.T, seed uint64) {
	t.Helper()
	script := generate(seed, length)
	first, _ := play(t, seed, script, false)
	if first == nil {
		return
	}
	t.Logf("seed %d fails; shrinking\n%v", seed, first)
	same := func(candidate []step, often int) bool {
		for range often {
			if v, _ := play(t, seed, candidate, false); v != nil && v.rule == first.rule {
				return true
			}
		}
		return false
	}
	until := time.Now().Add(shrinkTime)
	small := shrink(script[:min(first.line+1, len(script))], func() bool { return time.Now().After(until) }, func(candidate []step) bool { return same(candidate, 4) })
	path := keep(t, seed, first.rule, small)
	found, story := first, ""
	for range 5 * tries {
		if v, s := play(t, seed, small, true); v != nil {
			found, story = v, s
			break
		}
	}
	t.Fatalf("%v\n\nscript:\n%s\nstory:\n%s\nTo play it again, from the repository's root:\n  REGCRED_MODEL_SCRIPT=%s go test ./test/model -run TestScript -count=1\nand the whole run:\n  REGCRED_MODEL_SEED=%d go test ./test/model -run TestModel -count=1",
		found, text(small), story, path, seed)
}

// keep writes a failing script down.
func keep(t *testing.T, seed uint64, rule string, script []step) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "failed", fmt.Sprintf("%s-%d.script", rule, seed)))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, fmt.Appendf(nil, "# seed %d\n%s", seed, text(script)), 0o644)
	}
	if err != nil {
		t.Logf("the script is not kept: %v", err)
	}
	return path
}

// TestScript plays the scripts of testdata, each a failure of former days, or
// with REGCRED_MODEL_SCRIPT that file alone.
func TestScript(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.script")
	if err != nil {
		t.Fatal(err)
	}
	often := 3
	if one := os.Getenv("REGCRED_MODEL_SCRIPT"); one != "" {
		paths, often = []string{one}, 5*tries
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			script, err := parse(string(content))
			if err != nil {
				t.Fatal(err)
			}
			for i := range often {
				if v, story := play(t, uint64(i), script, true); v != nil {
					t.Fatalf("%v\n\nstory:\n%s", v, story)
				}
			}
		})
	}
}
