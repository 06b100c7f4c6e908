package soak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

// errTorn is content that no moment of the driver's work may show.
var errTorn = errors.New("torn")

// residents are long-lived pods: their kubelet publishes them again and again,
// and they read their config.json all the time.
type residents struct {
	*jobs
	volumes []kubelet.Volume
	reads   atomic.Int64
	expired atomic.Int64 // reads of a steady volume without a valid token
	stalled atomic.Int64 // the longest time in ns in which this process did not run
}

// settle publishes two volumes per Connector.
func (r *residents) settle() {
	r.t.Helper()
	for _, group := range [][]string{steady, flaky, changing, static} {
		for _, name := range group {
			for range 2 {
				v := r.volume(name)
				must(r.t, r.insist(v)) // the last round's failures are remembered for a while
				r.volumes = append(r.volumes, v)
			}
		}
	}
}

// run reads and republishes until ctx ends.
func (r *residents) run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { r.watchClock(ctx) })
	for _, v := range r.volumes {
		all.Go(func() {
			for ctx.Err() == nil {
				r.read(v)
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			for _, v := range r.volumes {
				if err := r.again(func(ctx context.Context) error { return r.kubelet.Publish(ctx, v) }); err != nil {
					r.t.Errorf("republishing %s: %v", v.Attributes["connectors"], err)
				}
				r.calls.Add(1)
			}
			pause(ctx, 500*time.Millisecond)
		}
	})
	all.Wait()
}

// watchClock notes when the machine is too busy to run this process, and so
// probably the driver.
func (r *residents) watchClock(ctx context.Context) {
	for last := time.Now(); ctx.Err() == nil; {
		pause(ctx, 50*time.Millisecond)
		now := time.Now()
		r.stalled.Store(max(r.stalled.Load(), int64(now.Sub(last)-50*time.Millisecond)))
		last = now
	}
}

// read holds what a client would see against what it may see.
func (r *residents) read(v kubelet.Volume) {
	content, err := os.ReadFile(filepath.Join(r.kubelet.Target(v), "config.json"))
	if err != nil {
		r.t.Errorf("reading: %v", err)
		return
	}
	r.reads.Add(1)
	valid, err := check(content, time.Now())
	if err != nil {
		r.t.Errorf("%s: %v", v.Attributes["connectors"], err)
	}
	if group := v.Attributes["connectors"]; !valid && (slices.Contains(steady, group) || slices.Contains(static, group)) {
		r.expired.Add(1)
	}
}

// check reads a config.json: whole, with a login that is still good.
func check(content []byte, now time.Time) (valid bool, err error) {
	var config struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		return false, fmt.Errorf("%w: %q", errTorn, content)
	}
	for host, auth := range config.Auths {
		if auth.RegistryToken == "" {
			login, err := base64.StdEncoding.DecodeString(auth.Auth)
			if err != nil || !strings.Contains(string(login), "robot:password-") {
				return false, fmt.Errorf("%w: %s has %q", errTorn, host, login)
			}
			valid = true
			continue
		}
		ends, err := provider.Ends(auth.RegistryToken)
		if err != nil {
			return false, fmt.Errorf("%w: %w", errTorn, err)
		}
		valid = valid || now.Before(ends)
	}
	return valid, nil
}

// leave unpublishes all.
func (r *residents) leave() {
	r.t.Helper()
	for _, v := range r.volumes {
		if err := r.unpublish(v); err != nil {
			r.t.Error(err)
		}
	}
	r.volumes = nil
}
