package model

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// call is one request of the kubelet and what became of it.
type call struct {
	step   step
	slot   *slot
	wish   wish
	expect expectation
	made   bool
	err    error
	took   time.Duration
}

func (c *call) unpublish() bool { return c.step.words[0] == "unpublish" }

// expectation is what a call has to answer.
type expectation struct {
	free    bool
	refusal error // class; nil = success
	instant bool
	fresh   bool // a success shows everything at once
}

// batch runs steps at once and checks what they left.
func (r *run) batch(steps []step) *violation {
	calls, v := r.together(steps)
	if v != nil {
		return v
	}
	time.Sleep(settle)
	synctest.Wait()
	faulty, failed := r.faulty, r.p.gate.failed()
	if faulty {
		r.faulty = false
		r.p.gate.set(0, 0)
		r.disturb()
	}
	for _, s := range r.slots {
		mine := callsOf(s, calls)
		switch {
		case len(mine) == 0:
		case faulty && slices.ContainsFunc(mine, func(c *call) bool { return c.unpublish() && c.err != nil }):
			s.state = ending
			r.loose[s.id] = true
		default:
			if failed == "delete volume "+s.id {
				r.loose[s.id] = true
			}
			if v := r.observe(s, calls); v != nil {
				return v
			}
		}
	}
	return r.check()
}

func callsOf(s *slot, calls []*call) (mine []*call) {
	for _, c := range calls {
		if c.slot == s && c.made {
			mine = append(mine, c)
		}
	}
	return mine
}

// together runs steps at once and returns the calls that came to the driver.
func (r *run) together(steps []step) ([]*call, *violation) {
	var calls []*call
	var mu sync.Mutex
	var found *violation
	fail := func(v *violation) {
		mu.Lock()
		defer mu.Unlock()
		if found == nil {
			found = v
		}
	}
	var all sync.WaitGroup
	for _, s := range steps {
		var wait time.Duration
		if len(steps) > 1 {
			wait = r.chance(300 * time.Millisecond)
		}
		switch s.words[0] {
		case "publish", "republish", "unpublish":
			c, err := r.prepare(s, steps)
			if err != nil {
				return nil, wrong("script", "%v", err)
			}
			if c == nil {
				continue
			}
			calls = append(calls, c)
			all.Go(func() {
				time.Sleep(wait)
				if v := r.request(c); v != nil {
					fail(v)
				}
			})
		case "pass":
			d, err := time.ParseDuration(s.words[1])
			if err != nil {
				return nil, wrong("script", "%v", err)
			}
			all.Go(func() {
				for ; d > 0; d -= piece {
					time.Sleep(min(d, piece))
					r.look()
				}
			})
		case "hold":
			held := r.slot(s)
			if held == nil {
				return nil, wrong("script", "step %q names no volume", s)
			}
			all.Go(func() {
				time.Sleep(wait)
				if v := r.hold(held); v != nil {
					fail(v)
				}
			})
		default:
			all.Go(func() {
				time.Sleep(wait)
				told, err := r.world.alter(s)
				if err != nil {
					fail(wrong("script", "%v", err))
				}
				if r.p.gate.alive() == nil {
					r.p.tell(told...)
				}
			})
		}
	}
	all.Wait()
	return calls, found
}

// prepare makes the request of a step, and says what it has to answer. Nil
// means that a kubelet would not ask.
func (r *run) prepare(s step, among []step) (*call, error) {
	c := &call{step: s, slot: r.slot(s)}
	if c.slot == nil {
		return nil, fmt.Errorf("step %q names no volume", s)
	}
	var err error
	switch s.words[0] {
	case "publish":
		if c.wish, err = readWish(s.words[2:]); err != nil {
			return nil, err
		}
		if c.slot.adrift && !c.wish.equal(c.slot.wish) || !c.slot.vanished.IsZero() {
			return nil, nil
		}
	case "republish":
		if c.slot.state != published || !c.slot.vanished.IsZero() {
			return nil, nil
		}
		c.wish = c.slot.wish
	}
	alone := !slices.ContainsFunc(among, func(other step) bool {
		return &among[0] != &among[len(among)-1] && slices.Contains(worldly, other.words[0])
	}) && naming(among, s.words[1]) == 1
	c.expect = r.expect(c)
	if !alone && !c.unpublish() {
		c.expect = expectation{free: true}
	}
	return c, nil
}

// worldly steps change what calls beside them have to answer.
var worldly = []string{"provider", "connector", "access", "permit", "secret", "ca", "pass"}

// naming counts the steps about one volume.
func naming(steps []step, id string) (n int) {
	for _, s := range steps {
		if len(s.words) > 1 && s.words[0] != "hold" && s.words[1] == id {
			n++
		}
	}
	return n
}

// expect is the reference for one call on its own.
func (r *run) expect(c *call) expectation {
	s := c.slot
	switch {
	case c.unpublish():
		return expectation{}
	case s.state == published && c.wish.equal(s.wish):
		return expectation{instant: true}
	case s.state == published:
		return expectation{refusal: connector.ErrConflict, instant: true}
	case s.state == ending:
		return expectation{free: true}
	}
	if class := r.world.refused(c.wish.uses, s.account); class != nil {
		return expectation{refusal: class}
	}
	if r.healthyFor(s.account, c.wish.uses) < 8*time.Minute {
		return expectation{free: true, fresh: true}
	}
	if c.wish.tooLong() {
		return expectation{refusal: errTooShort}
	}
	return expectation{fresh: true}
}

// healthyFor is how long nothing has been wrong with the links.
func (r *run) healthyFor(account string, uses []int) time.Duration {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	healthy := 1000 * time.Hour
	for _, i := range uses {
		if !r.world.well(i, account) {
			return 0
		}
		if ill := r.world.ill[i][account]; !ill.IsZero() {
			healthy = min(healthy, time.Since(ill))
		}
	}
	return healthy
}

// request sends a call to the driver.
func (r *run) request(c *call) *violation {
	p, s := r.p, c.slot
	r.world.ask(c.wish)
	defer r.world.ask(c.wish)
	if p.gate.alive() != nil {
		return nil // nobody listens any more
	}
	c.made = true
	began := time.Now()
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Minute)
	defer cancel()
	if c.unpublish() {
		c.err = p.volumes.Unpublish(ctx, s.id, s.target)
	} else {
		spec, err := s.spec(c.wish)
		if err = errors.Join(err, s.furnish()); err != nil {
			return wrong("script", "%v", err)
		}
		c.err = p.volumes.Publish(ctx, spec)
	}
	c.took = time.Since(began)
	r.note("%s: %v after %s", c.step, c.err, c.took)
	if err := p.gate.alive(); err != nil {
		c.err = err // the answer came to nobody
		return nil
	}
	if r.faulty {
		return nil
	}
	return r.judge(c)
}

// judge compares the answer with what was expected.
func (r *run) judge(c *call) *violation {
	switch e := c.expect; {
	case c.unpublish() && (c.err != nil || c.took > 5*time.Second):
		return wrong("unpublish", "%s: %v after %s", c.step, c.err, c.took)
	case c.took > 100*time.Second:
		return wrong("time", "%s took %s", c.step, c.took)
	case e.free:
	case e.instant && c.took != 0:
		return wrong("time", "%s took %s", c.step, c.took)
	case e.refusal == nil && c.err != nil:
		return wrong("publish", "%s: %v", c.step, c.err)
	case e.refusal != nil && !refuses(c.err, e.refusal):
		return wrong("refusal", "%s: %v instead of: %v", c.step, c.err, e.refusal)
	}
	if c.expect.fresh && c.err == nil {
		return r.complete(c)
	}
	return nil
}

// errTooShort stands for the refusal of a life that the provider cannot give.
var errTooShort = errors.New("LifeTooShort")

func refuses(err, class error) bool {
	if errors.Is(class, errTooShort) {
		e, ok := errors.AsType[*issuers.Error](err)
		return ok && e.Reason == errTooShort.Error()
	}
	return errors.Is(err, class)
}

// complete: a container never starts with an empty volume, or with less life
// than it needs.
func (r *run) complete(c *call) *violation {
	shown, err := c.slot.shown()
	if err != nil {
		return wrong("half-published", "%s succeeded: %v", c.step, err)
	}
	for _, i := range c.wish.uses {
		if shown[links[i].host()] == "" {
			return wrong("half-published", "%s succeeded without an entry of %s: %v", c.step, links[i].name, shown)
		}
		if left := r.books.left(shown[links[i].host()]); !c.expect.free && left < c.wish.minimum-time.Second {
			return wrong("short-lived", "%s succeeded with an entry of %s that lives for %s", c.step, links[i].name, left)
		}
	}
	return nil
}
