package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// jobs are short pods, one after the other, side by side.
type jobs struct {
	*node
	next      atomic.Int64
	published atomic.Int64 // first publishes that succeeded
	refused   atomic.Int64 // that failed
	retried   atomic.Int64 // of those, that were asked again
	calls     atomic.Int64 // republishes
	kills     bool         // the driver may be away
}

// workers run jobs at once.
const workers = 6

// run works until ctx ends, and returns when every job has gone.
func (j *jobs) run(ctx context.Context) {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := j.job(ctx); err != nil {
					j.t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// volume is the volume of a new pod, whose turn it is with the configurations.
func (j *jobs) volume(connectors string, turns ...string) kubelet.Volume {
	number := j.next.Add(1)
	return kubelet.Volume{
		Namespace: "ci", Pod: fmt.Sprintf("job-%d", number), ServiceAccount: "builder", Name: "registry",
		Attributes: map[string]string{"connectors": connectors, "configuration.names": turns[number%int64(len(turns))]},
	}
}

func pick(list []string) string { return list[rand.N(len(list))] }

// job is one pod's life.
func (j *jobs) job(ctx context.Context) error {
	connectors, certain, turns := pick(steady)+","+pick(static), true, tokenTurns()
	switch rand.N(7) {
	case 0:
		connectors, certain = pick(flaky), false
	case 1:
		connectors, certain = pick(changing), false
	case 2:
		connectors, certain = pick(garbage), false
	case 3:
		connectors, certain = pick(steady)+",missing", false
	case 4:
		connectors, turns = pick(static), loginTurns()
	default:
	}
	v := j.volume(connectors, turns...)
	publish := j.publish
	if certain {
		publish = j.insist
	}
	if err := publish(v); err != nil {
		if certain {
			return fmt.Errorf("publishing %s with %s: %w", connectors, v.Attributes["configuration.names"], err)
		}
		return j.kubelet.Forget(v)
	}
	for range rand.N(4) {
		pause(ctx, rand.N(400*time.Millisecond))
		if err := j.again(func(ctx context.Context) error { return j.kubelet.Publish(ctx, v) }); err != nil {
			return fmt.Errorf("republishing: %w", err)
		}
		j.calls.Add(1)
	}
	return j.unpublish(v)
}

// insist publishes as a kubelet does: what is unavailable is asked for again.
func (j *jobs) insist(v kubelet.Volume) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.t.Context()), patience)
	defer cancel()
	for {
		err := j.publish(v)
		if status.Code(err) != codes.Unavailable || ctx.Err() != nil {
			return err
		}
		j.retried.Add(1)
		pause(ctx, 500*time.Millisecond)
	}
}

// publish counts the outcome.
func (j *jobs) publish(v kubelet.Volume) error {
	err := j.again(func(ctx context.Context) error { return j.kubelet.Publish(ctx, v) })
	if err == nil {
		j.published.Add(1)
	} else {
		j.refused.Add(1)
	}
	return err
}

func (j *jobs) unpublish(v kubelet.Volume) error {
	err := j.again(func(ctx context.Context) error {
		return j.kubelet.Remove(ctx, v.ID(), j.kubelet.Target(v))
	})
	if err != nil {
		return fmt.Errorf("unpublishing: %w", err)
	}
	return j.kubelet.Forget(v)
}

// again asks like a kubelet: once, and where the driver may be killed until it
// has answered.
func (j *jobs) again(call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(j.t.Context()), 2*patience)
	defer cancel()
	for {
		err := call(ctx)
		if !j.kills || !disconnected(err) {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// disconnected tells a lost connection, or a driver that stops, from the
// driver's own answers, which name a connector.
func disconnected(err error) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	message := status.Convert(err).Message()
	for _, text := range []string{"transport", "connection", "EOF", "closing", "stopping"} {
		if strings.Contains(message, text) {
			return true
		}
	}
	return false
}

// pause waits, or ends with ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
