package soak

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// defaultLength is what make test has time for.
const defaultLength = 49 * time.Second

// rounds of load, each followed by rest and a measurement; the first ones are
// for warming up and for learning how much measurements differ by themselves.
const rounds = 6

func length(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("REGCRED_SOAK")
	if text == "" {
		return defaultLength
	}
	length, err := time.ParseDuration(text)
	must(t, err)
	return length
}

// Nothing grows, nothing is left, readers always find a good login, and the
// provider is not asked more than the lives of its tokens need.
func TestSoak(t *testing.T) {
	n := start(t)
	each := length(t) / (rounds + 1)
	j := &jobs{node: n}
	w := &weather{node: n}
	r := &residents{jobs: j}
	var measured []sizes
	began := time.Now()
	for range rounds {
		load(t, each, j, w, r, func(context.Context) {})
		measured = append(measured, n.idle())
	}
	took := time.Since(began)
	flat(t, measured)
	n.booksAgree(j)
	n.noStorm(took, w)
	t.Logf("%d volumes published, %d refused (%d asked again), %d republishes, %d reads; %d outages, %d edits; %d tokens in %s, %d calls",
		j.published.Load(), j.refused.Load(), j.retried.Load(), j.calls.Load(), r.reads.Load(), w.outages.Load(), w.edits.Load(),
		len(n.provider.Issued()), took.Round(time.Second), len(n.provider.Arrivals()))

	j.kills = true
	kills := 0
	load(t, each, j, w, r, func(ctx context.Context) { kills = n.killAgainAndAgain(ctx) })
	t.Logf("killed %d times; then %v", kills, n.idle())
	r.verdict()
	must(t, n.driver.Stop())
	if mounts := n.mounts(); len(mounts) > 0 {
		t.Errorf("still mounted: %q", mounts)
	}
	for _, dir := range []string{n.driver.RuntimeDir(), n.driver.StateDir()} {
		if _, err := os.Lstat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

// load runs everything for a while, something more meanwhile, and then takes
// the volumes away.
func load(t *testing.T, d time.Duration, j *jobs, w *weather, r *residents, meanwhile func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	r.settle()
	var all sync.WaitGroup
	for _, part := range []func(context.Context){j.run, w.run, w.edit, r.run} {
		all.Go(func() { part(ctx) })
	}
	meanwhile(ctx)
	all.Wait()
	r.leave()
}

// killAgainAndAgain kills the driver and starts it again until ctx ends.
func (n *node) killAgainAndAgain(ctx context.Context) (kills int) {
	for {
		pause(ctx, time.Second+rand.N(2*time.Second))
		if ctx.Err() != nil {
			return kills
		}
		n.driver.Kill()
		kills++
		if err := n.driver.Start(n.soon()); err != nil {
			n.t.Error(err)
			return kills
		}
	}
}

// flat compares the end with what the first rounds after the warm-up were:
// more than their largest, by more than they differ among themselves, is
// growth. A connection that ends by itself in a moment is not.
func flat(t *testing.T, measured []sizes) {
	t.Helper()
	for i, s := range measured {
		t.Logf("round %d: %v", i+1, s)
	}
	const warm, base = 1, 2 // rounds
	for _, kind := range []struct {
		name  string
		of    func(sizes) float64
		grain float64 // the least difference that means anything
	}{
		{"heap in MiB", func(s sizes) float64 { return s.heap }, 0.5},
		{"RSS in MiB", func(s sizes) float64 { return s.rss }, 3},
		{"goroutines", func(s sizes) float64 { return s.goroutines }, 4},
		{"descriptors", func(s sizes) float64 { return s.descriptors }, 3},
	} {
		var before []float64
		for _, s := range measured[warm : warm+base] {
			before = append(before, kind.of(s))
		}
		most := slices.Max(before)
		bound := most + max(kind.grain, 2*(most-slices.Min(before)))
		if end := kind.of(measured[len(measured)-1]); end > bound {
			t.Errorf("%s: %.2f at the end, at most %.2f before (bound %.2f)", kind.name, end, most, bound)
		}
	}
}

// booksAgree holds the metrics and the audit log against what the test and the
// provider counted.
func (n *node) booksAgree(j *jobs) {
	n.t.Helper()
	issued := n.counter(`regcred_issue_total{issuer="distributionToken",result="success"}`)
	failed := n.counter(`regcred_issue_total{issuer="distributionToken",result="Retryable"}`)
	given := float64(len(n.provider.Issued()))
	// An answer may come too late for the call that waited for it.
	if issued > given || given > issued+failed {
		n.t.Errorf("regcred_issue_total counts %v successes and %v failures, the provider gave %v tokens", issued, failed, given)
	}
	records, err := n.driver.Audit()
	must(n.t, err)
	audited := map[string]float64{}
	for _, record := range records {
		event, _ := record["event"].(string)
		issuer, _ := record["issuer"].(string)
		audited[event+" "+issuer]++
	}
	if sum := audited["issue distributionToken"] + audited["renew distributionToken"]; sum != issued {
		n.t.Errorf("%v issued and renewed in the audit log, %v in the metrics", sum, issued)
	}
	for _, c := range []struct {
		series string
		want   float64
	}{
		{`regcred_publish_duration_seconds_count{result="success"}`, float64(j.published.Load())},
		{`regcred_publish_duration_seconds_count{result="error"}`, float64(j.refused.Load())},
		{"regcred_volumes", 0},
		{"regcred_pending_revocations", 0},
		{"regcred_orphans_total", 0},
	} {
		if got := n.counter(c.series); got != c.want {
			n.t.Errorf("%s is %v, want %v", c.series, got, c.want)
		}
	}
}

// noStorm bounds the calls of the provider by the model: a token is asked for
// when half of a life has passed, when the last one was forgotten, when the
// Connector changes, and after a failure with back-off.
func (n *node) noStorm(took time.Duration, w *weather) {
	n.t.Helper()
	arrivals := n.provider.Arrivals()
	calls, busiest := map[string]int{}, 0
	for i, a := range arrivals {
		calls[a.Client]++
		within := 0
		for _, b := range arrivals[i:] {
			if b.At.Sub(a.At) > time.Second {
				break
			}
			within++
		}
		busiest = max(busiest, within)
	}
	for client, count := range calls {
		life := otherLife
		if strings.HasPrefix(client, "steady") {
			life = steadyLife
		}
		bound := float64(took)/float64(life/2) + 2*rounds
		switch {
		case strings.HasPrefix(client, "changing"): // each generation has a credential of its own
			bound = 3*bound + float64(w.edits.Load())
		case strings.HasPrefix(client, "flaky"): // a life may end in failures, one second apart at the least
			bound = float64(took)/float64(time.Second) + 2*rounds
		case strings.HasPrefix(client, "garbage"): // again after five minutes
			bound = float64(took)/float64(5*time.Minute) + rounds
		}
		n.t.Logf("%-10s %3d calls, the model allows %.0f", client, count, bound)
		if float64(count) > bound {
			n.t.Errorf("%s: %d calls in %s, the model allows %.0f", client, count, took, bound)
		}
	}
	// A registry's bucket is 20 calls, and 10 more each second.
	n.t.Logf("busiest second: %d calls", busiest)
	if busiest > 30 {
		n.t.Errorf("%d calls within a second", busiest)
	}
}

// verdict is about steady volumes, whose provider never failed.
func (r *residents) verdict() {
	r.t.Helper()
	stalled := time.Duration(r.stalled.Load())
	if r.helped.Load() == 0 {
		r.t.Error("no credential helper was asked")
	}
	r.t.Logf("%d answers of credential helpers, %d reads, %d without a valid login; this process did not run for up to %s", r.helped.Load(), r.reads.Load(), r.expired.Load(), stalled.Round(time.Millisecond))
	// A token is renewed when at least a quarter of its life is left.
	if r.expired.Load() > 0 && stalled < steadyLife/16 {
		r.t.Errorf("%d reads of volumes with a healthy provider found no valid login", r.expired.Load())
	}
}
