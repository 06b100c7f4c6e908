package due

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQueueGivesTheEarliestFirst(t *testing.T) {
	var q Queue[int]
	base := time.Unix(1000, 0)
	at := map[int]time.Time{}
	for range 5000 { // random sets, moves and removals against a plain map
		v := rand.IntN(300)
		when := base.Add(time.Duration(rand.IntN(1000)) * time.Second)
		if rand.IntN(4) == 0 {
			when = time.Time{}
		}
		q.Set(v, when)
		at[v] = when
		if when.IsZero() {
			delete(at, v)
		}
	}
	var want, got []time.Time
	for _, when := range at {
		want = append(want, when)
	}
	slices.SortFunc(want, time.Time.Compare)
	for {
		v, ok := q.Pop(base.Add(time.Hour))
		if !ok {
			break
		}
		got = append(got, at[v])
	}
	if !slices.Equal(got, want) {
		t.Fatalf("popped %d values out of order or incomplete, want %d", len(got), len(want))
	}
}

func TestQueueWait(t *testing.T) {
	var q Queue[string]
	now := time.Unix(1000, 0)
	if got := q.Wait(now, time.Minute); got != time.Minute {
		t.Errorf("empty queue waits %v, want 1m", got)
	}
	q.Set("a", now.Add(3*time.Second))
	if got := q.Wait(now, time.Minute); got != 3*time.Second {
		t.Errorf("waits %v, want 3s", got)
	}
	if _, ok := q.Pop(now); ok {
		t.Error("popped before it was due")
	}
	if got := q.Wait(now.Add(time.Hour), time.Minute); got != 0 {
		t.Errorf("overdue waits %v, want 0", got)
	}
}
