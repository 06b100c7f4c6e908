package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/held"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// What a run can be told by the environment: a seed to repeat one, and a
// number of kills for a longer one.
const (
	seedVariable  = "REGCRED_CRASH_SEED"
	killsVariable = "REGCRED_CRASH_KILLS"
)

const (
	defaultKills = 500
	nodes        = 4
	workers      = 4                     // kubelet workers of a node
	betweenKills = 80 * time.Millisecond // on average, from ready to kill
	holds        = 12                    // times that a standing volume is held, in turn
)

// The driver is killed at random moments while pods come and go, credentials
// are renewed, and Secrets and Connectors change.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, seedVariable, int(time.Now().UnixNano()%1e9)))
	kills := number(t, killsVariable, defaultKills)
	t.Logf("%d kills; to repeat: %s=%d %s=%d", kills, seedVariable, seed, killsVariable, kills)
	for i := range nodes {
		t.Run(fmt.Sprint("node ", i), func(t *testing.T) {
			t.Parallel()
			l := &load{node: newNode(t, false), random: rand.New(rand.NewPCG(seed, uint64(i)))}
			l.run((kills + nodes - 1) / nodes)
		})
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// load is a node under load.
type load struct {
	*node
	random *rand.Rand
	kills  atomic.Int64 // so far
	cycles atomic.Int64 // pods that came and went
}

func (l *load) run(kills int) {
	t := l.t
	l.login("account", "account-0")
	const registryToken = "sharing: Pod, overlap: 50ms, maxAge: %s, issuer: {distributionToken: {output: registryToken, %s}}"
	l.declare("aging", fmt.Sprintf(registryToken, "1s", ""))
	l.declare("following", fmt.Sprintf(registryToken, "1h", "secretRef: {name: account}"))
	l.declare("changing", fmt.Sprintf(registryToken, "1h", ""))
	must(t, l.await(func() error { return l.publish(aPod("first", "changing")) }))
	must(t, l.unpublish(aPod("first", "changing")))
	must(t, l.publish(aHelpedPod("helped-first", "static")))
	must(t, l.unpublish(aHelpedPod("helped-first", "static")))
	l.settled()
	descriptors := l.descriptors()
	l.stand(aPod("aging", "aging,static"), aPod("following", "following"), aPod("changing", "changing,static"), aPod("steady", "objects"), aPod("logged-in", "static"), aHelpedPod("helped", "following"))
	steady, err := l.shown(l.standing[3])
	must(t, err)

	done := make(chan struct{})
	var busy sync.WaitGroup
	rest := sync.OnceFunc(func() {
		close(done)
		busy.Wait()
	})
	t.Cleanup(rest)
	for w := range workers {
		random := rand.New(rand.NewPCG(l.random.Uint64(), 0))
		busy.Go(func() {
			for i := 0; !closed(done); i++ {
				if err := l.cycle(random, fmt.Sprintf("pod-%d-%d", w, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	changes := rand.New(rand.NewPCG(l.random.Uint64(), 0))
	busy.Go(func() {
		for i := 1; !closed(done); i++ {
			l.change(changes, i)
			pause(time.Duration(changes.Int64N(int64(300 * time.Millisecond))))
		}
	})
	for i := range kills {
		if every := max(1, kills/holds); i%every == 0 {
			l.hold(l.standing[i/every%len(l.standing)])
		}
		pause(time.Duration(l.random.Int64N(int64(2 * betweenKills))))
		l.kills.Add(1)
		l.driver.Kill()
		must(t, l.start())
	}
	rest()
	t.Logf("%d kills, %d pods came and went, %d objects were made", l.kills.Load(), l.cycles.Load(), len(l.provider.Objects()))

	l.settled(l.standing...)
	if now, err := l.shown(l.standing[3]); err != nil || !slices.Equal(now, steady) {
		t.Errorf("a credential that nothing concerned was issued anew: %v, %v", now, err)
	}
	must(t, l.await(l.swept))
	must(t, l.await(func() error { return l.cut(l.standing[1:]...) }))
	l.stopReading()
	for _, v := range l.standing {
		must(t, l.unpublish(v))
	}
	must(t, l.cut())
	l.settled()
	l.noDoubt()
	must(t, l.await(func() error {
		if now := l.descriptors(); len(now) > len(descriptors) {
			return fmt.Errorf("descriptors (-first +last):\n%s", cmp.Diff(descriptors, now))
		}
		return nil
	}))
	l.leavesNothing()
}

// swept reports superseded content that is still there.
func (l *load) swept() error {
	for _, v := range l.standing[1:] { // but in the one that is rewritten every second
		generations, err := filepath.Glob(filepath.Join(l.kubelet.Target(v), "..gen-*"))
		if err != nil || len(generations) != 1 {
			return fmt.Errorf("%s has %d generations: %w", v.Pod, len(generations), err)
		}
	}
	return nil
}

// change has a Secret or a Connector differ.
func (l *load) change(random *rand.Rand, i int) {
	switch random.IntN(3) {
	case 0:
		l.login("account", fmt.Sprint("account-", i))
	case 1:
		l.login("deploy", fmt.Sprint("deploy-", i))
	default:
		l.declare("changing", fmt.Sprintf("sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken, clientID: c%d}}", i))
	}
}

// cycle is a pod that comes and goes. What it was given stays the same as long
// as it is there, whatever happens to the driver.
func (l *load) cycle(random *rand.Rand, name string) error {
	v := aPod(name, []string{"objects", "objects,static", "static"}[random.IntN(3)])
	if random.IntN(3) == 0 {
		v = aHelpedPod(name, v.Attributes["connectors"])
	}
	killsBefore := l.kills.Load()
	var holding *held.Volume
	published, err := l.insist(random.IntN(4) > 0, func(ctx context.Context) error { return l.kubelet.Publish(ctx, v) })
	if err != nil {
		return fmt.Errorf("publishing %s: %w", name, err)
	}
	if published {
		killsMeanwhile := l.kills.Load() - killsBefore
		if random.IntN(3) == 0 {
			if holding, err = held.Take(l.kubelet.Target(v), secrets); err != nil {
				return fmt.Errorf("holding %s: %w", name, err)
			}
			defer func() { _ = holding.Close() }() // only descriptors
		}
		before, err := l.object(v)
		if err != nil {
			return fmt.Errorf("after publishing %s: %w", name, err)
		}
		for range random.IntN(8) {
			if _, err := l.insist(true, func(ctx context.Context) error { return l.kubelet.Publish(ctx, v) }); err != nil {
				return fmt.Errorf("republishing %s: %w", name, err)
			}
			if after, err := l.object(v); err != nil || before != after {
				return fmt.Errorf("after a republish of %s: %w; object %s became %s", name, err, before, after)
			}
		}
		if made := int64(len(l.provider.Of(name))); made > 1+killsMeanwhile {
			return fmt.Errorf("%d objects were made for %s, whose publish met %d kills", made, name, killsMeanwhile)
		}
	}
	if _, err := l.insist(true, func(ctx context.Context) error { return l.kubelet.Remove(ctx, v.ID(), l.kubelet.Target(v)) }); err != nil {
		return fmt.Errorf("unpublishing %s: %w", name, err)
	}
	if holding != nil {
		if left, err := holding.Shows(nil); err != nil || left != "" {
			return fmt.Errorf("%s is unpublished, and a secret is still in %s: %w", name, left, err)
		}
	}
	l.cycles.Add(1)
	return l.kubelet.Forget(v)
}

// object names the provider's object whose login a volume shows, if any.
func (l *load) object(v kubelet.Volume) (string, error) {
	if err := l.readOnce(v); err != nil {
		return "", err
	}
	logins, err := l.shown(v)
	for _, login := range logins {
		if _, made := l.provider.Find(login.User, login.Password); made {
			return login.User, err
		}
	}
	return "", err
}

// insist repeats a call that a kill cut off, as the kubelet does; or gives up
// after the first time. Any other failure is an error.
func (l *load) insist(repeat bool, call func(context.Context) error) (done bool, err error) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	for {
		err := call(ctx)
		switch {
		case err == nil:
			return true, nil
		case status.Code(err) != codes.Unavailable || ctx.Err() != nil:
			return false, err
		case !repeat:
			return false, nil
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// pause lets the driver live for a while.
func pause(d time.Duration) { <-time.After(d) }
