// Package due keeps things ordered by the time at which something is to be
// done about them. One queue and one timer serve any number of them, so that
// nothing needs a goroutine or ticker of its own. It is not safe for
// concurrent use: its owner's lock guards it.
package due

import (
	"container/heap"
	"time"
)

// Queue orders values by time, each value at most once. The zero Queue is empty.
type Queue[T comparable] struct {
	heap  items[T]
	place map[T]*item[T]
}

// Set puts v at a time, moving it when it is queued already. The zero time
// takes it out.
func (q *Queue[T]) Set(v T, at time.Time) {
	it, queued := q.place[v]
	switch {
	case at.IsZero() && queued:
		heap.Remove(&q.heap, it.index)
		delete(q.place, v)
	case at.IsZero():
	case queued:
		it.at = at
		heap.Fix(&q.heap, it.index)
	default:
		if q.place == nil {
			q.place = map[T]*item[T]{}
		}
		it = &item[T]{value: v, at: at}
		q.place[v] = it
		heap.Push(&q.heap, it)
	}
}

// Pop takes the earliest value out when it is due by now.
func (q *Queue[T]) Pop(now time.Time) (v T, ok bool) {
	if len(q.heap) == 0 || q.heap[0].at.After(now) {
		return v, false
	}
	v = q.heap[0].value
	q.Set(v, time.Time{})
	return v, true
}

// Wait returns how long it is from now until the earliest value is due, at
// most the given time: the wall clock may jump, or the machine sleep.
func (q *Queue[T]) Wait(now time.Time, most time.Duration) time.Duration {
	if len(q.heap) == 0 {
		return most
	}
	return max(0, min(most, q.heap[0].at.Sub(now)))
}

type item[T comparable] struct {
	value T
	at    time.Time
	index int
}

type items[T comparable] []*item[T]

func (h items[T]) Len() int           { return len(h) }
func (h items[T]) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h items[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *items[T]) Push(x any) {
	it := x.(*item[T]) //nolint:forcetypeassert // the heap holds nothing else
	it.index = len(*h)
	*h = append(*h, it)
}

// Pop implements heap.Interface.
func (h *items[T]) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
