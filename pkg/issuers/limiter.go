package issuers

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// What one host gets from this node: registries and their token servers allow
// far more, and a rollout of a whole node still passes in seconds.
const (
	callsPerSecond = 10
	callBurst      = 20
	// callReserve is what calls of low priority leave to others.
	callReserve = callBurst / 2
	// maxLimiters bounds the memory that hosts named by Connectors can take.
	maxLimiters = 1024
)

// limiter is the token bucket of one host.
type limiter struct{ bucket *rate.Limiter }

// wait returns when the call may go, or when ctx ends.
func (l *limiter) wait(ctx context.Context) error {
	if !LowPriority(ctx) {
		return l.bucket.Wait(ctx)
	}
	for {
		missing := callReserve + 1 - l.bucket.Tokens()
		if missing <= 0 && l.bucket.Allow() {
			return nil
		}
		pause := time.NewTimer(time.Duration(max(missing, 0.01) / callsPerSecond * float64(time.Second)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		case <-pause.C:
		}
	}
}

// limiterFor returns the host's bucket. When there are too many, full ones are
// dropped: a new one is full as well.
func (g *Guard) limiterFor(host string) *limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.limiters[host]; ok {
		return l
	}
	if len(g.limiters) >= maxLimiters {
		for name, l := range g.limiters {
			if l.bucket.Tokens() >= callBurst {
				delete(g.limiters, name)
			}
		}
	}
	l := &limiter{bucket: rate.NewLimiter(callsPerSecond, callBurst)}
	g.limiters[host] = l
	return l
}
