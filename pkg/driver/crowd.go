package driver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
)

const (
	// crowdSize is how many calls at a time are a crowd: more than the two or
	// three that meet by chance.
	crowdSize = 4
	// crowdLinger is how long after the last arrival a crowd counts as gone.
	crowdLinger = 5 * time.Millisecond
)

// crowd tells when calls queue up, as when a node starts its pods, and when
// that is over: when no more come, though some may still wait for a provider.
type crowd struct {
	told   func(bool)
	inside atomic.Int32
	seen   atomic.Bool // since the last look

	mu    sync.Mutex
	timer *time.Timer // set while there is a crowd
}

// pass counts a call.
func (c *crowd) pass(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if c.inside.Add(1) >= crowdSize && !c.seen.Swap(true) {
		c.begin()
	}
	defer c.inside.Add(-1)
	return handler(ctx, req)
}

// begin tells of a crowd, unless that was told.
func (c *crowd) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer == nil {
		c.told(true)
		c.timer = time.AfterFunc(crowdLinger, c.look)
	}
}

// look tells that the crowd is gone, unless it was seen again.
func (c *crowd) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.Swap(false) {
		c.timer.Reset(crowdLinger)
		return
	}
	c.timer = nil
	c.told(false)
}
