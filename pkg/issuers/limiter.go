package issuers

import (
	"context"
	"math"
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

// limiterFor returns the bucket of a host:port. When there are too many, those
// that are full are dropped, because a new one is full as well; when none is,
// the one that forgets least.
func (g *Guard) limiterFor(hostport string) *limiter {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l, ok := g.limiters[hostport]; ok {
		return l
	}
	if len(g.limiters) >= maxLimiters {
		g.dropLimiters()
	}
	l := &limiter{bucket: rate.NewLimiter(callsPerSecond, callBurst)}
	g.limiters[hostport] = l
	return l
}

func (g *Guard) dropLimiters() {
	fullest, most := "", math.Inf(-1)
	for hostport, l := range g.limiters {
		tokens := l.bucket.Tokens()
		if tokens >= callBurst {
			delete(g.limiters, hostport)
		}
		if tokens > most {
			fullest, most = hostport, tokens
		}
	}
	delete(g.limiters, fullest) // gone already when it was full
}
