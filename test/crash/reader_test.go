package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// readEvery leaves the processor to others.
const readEvery = 10 * time.Millisecond

// helpEvery is after how many reads the helper is asked, which costs more.
const helpEvery = 20

// read reads a volume as its pod would, until stop is called or the test ends,
// and reports the first time that something is missing, torn or of two moments.
func (n *node) read(v kubelet.Volume) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.readUntil(ctx, v) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Errorf("pod %s: %v", v.Pod, err)
		}
	})
	n.t.Cleanup(stop)
	return stop
}

func (n *node) readUntil(ctx context.Context, v kubelet.Volume) error {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for reads := 0; ; reads++ {
		err := n.readOnce(v)
		if err == nil && isHelped(v) && reads%helpEvery == 0 {
			err = n.helps(v)
		}
		if err != nil && ctx.Err() == nil && n.t.Context().Err() == nil { // a test that is over ends its helpers first
			return fmt.Errorf("read %d: %w", reads, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// readOnce reads by the names that pods use, and by those of one generation,
// which may only go once another one is in force.
func (n *node) readOnce(v kubelet.Volume) error {
	if _, err := n.shown(v); err != nil {
		return err
	}
	data := filepath.Join(n.kubelet.Target(v), "..data")
	before, err := os.Readlink(data)
	if err != nil {
		return err
	}
	problem := n.agree(v)
	after, err := os.Readlink(data)
	if before != after {
		return err
	}
	return errors.Join(problem, err)
}
