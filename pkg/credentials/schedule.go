package credentials

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

const (
	// unknownLife bounds the age of a credential whose end nobody states.
	unknownLife = 24 * time.Hour
	// maxOverlap is the default upper bound of a superseded credential's rest.
	maxOverlap = time.Hour
	// staleGrace is how long static content outlives its source.
	staleGrace = 10 * time.Minute
	// terminalBackOff is the least wait after a failure that asking again
	// cannot heal.
	terminalBackOff = 5 * time.Minute
	firstBackOff    = time.Second
	maxBackOff      = 2 * time.Minute
)

// renewAt picks a random point between half and three quarters of the life,
// so that credentials issued together do not fall due together. Static content
// is not renewed by time.
func renewAt(c *connector.Credential, maxAge time.Duration) time.Time {
	if c.Static && c.ExpiresAt.IsZero() {
		return time.Time{}
	}
	life := c.Life()
	if life <= 0 {
		life = unknownLife
	}
	wait := life/2 + rand.N(life/4+1)
	if maxAge > 0 && wait > maxAge {
		wait = maxAge - rand.N(maxAge/8+1)
	}
	return c.IssuedAt.Add(wait)
}

// revokeAt says when a superseded credential ends: clients that read it once
// go on for the overlap, never beyond its own life.
func revokeAt(now time.Time, c *connector.Credential, overlap time.Duration) time.Time {
	if overlap == 0 {
		overlap = maxOverlap
	}
	at := now.Add(overlap)
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(at) {
		return c.ExpiresAt
	}
	return at
}

// backOff returns how long to wait after the n-th failure in a row (from 1).
func backOff(err error, n int) time.Duration {
	wait := min(firstBackOff<<min(n-1, 10), maxBackOff)
	switch issuers.ClassOf(err) {
	case issuers.Terminal, issuers.Denied:
		wait = terminalBackOff
	case issuers.Retryable, issuers.NeedsNewIdentity:
	}
	wait += rand.N(wait / 4)
	return max(wait, statedWait(err))
}

// queue is a heap of everything that falls due, the earliest first.
type queue []*shared

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	s := x.(*shared) //nolint:forcetypeassert // the queue holds nothing else
	s.index = len(*q)
	*q = append(*q, s)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	s.index = -1
	return s
}

// schedule puts s where its due time says, or takes it out when nothing is due.
func (q *queue) schedule(s *shared) {
	s.due = s.nextDue()
	switch {
	case s.due.IsZero() && s.index >= 0:
		heap.Remove(q, s.index)
	case s.due.IsZero():
	case s.index >= 0:
		heap.Fix(q, s.index)
	default:
		heap.Push(q, s)
	}
}
