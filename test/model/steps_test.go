package model

import (
	"os"
	"slices"
	"strconv"
	"testing/synctest"
	"time"
)

// do is one line of a script.
func (r *run) do(s step) *violation {
	switch s.words[0] {
	case "pass", "idle":
		d, err := time.ParseDuration(s.words[1])
		if err != nil {
			return wrong("script", "%v", err)
		}
		return r.pass(d, s.words[0] == "pass")
	case "together":
		return r.batch(s.with)
	case "fault":
		return r.fault(s)
	case "kill":
		return r.kill(s)
	case "stop", "reboot", "lose":
		return r.halt(s)
	case "vanish":
		return r.vanish(s)
	default:
		return r.batch([]step{s})
	}
}

// pass lets time go by, in pieces; a kubelet asks for every volume again in
// each.
func (r *run) pass(d time.Duration, kubelet bool) *violation {
	for d > 0 {
		now := min(d, piece)
		d -= now
		r.passing.Store(r.undisturbed())
		time.Sleep(now)
		r.passing.Store(false)
		if kubelet {
			for _, s := range r.slots {
				if v := r.republish(s); v != nil {
					return v
				}
			}
		}
		if v := r.check(); v != nil {
			return v
		}
	}
	return nil
}

// undisturbed reports whether nothing went wrong lately beside what the world
// shows.
func (r *run) undisturbed() bool {
	gone := slices.ContainsFunc(r.slots, func(s *slot) bool { return !s.vanished.IsZero() })
	return !gone && r.quiet(time.Now()) && (r.lost.IsZero() || time.Since(r.lost) > recovery)
}

// calm reports whether nothing but time passes, and nothing went wrong with a
// link lately.
func (r *run) calm(i int) bool {
	return r.passing.Load() && !r.world.cutOff(i) &&
		min(r.healthyFor("a", []int{i}), r.healthyFor("b", []int{i})) > recovery
}

// republish asks for a published volume again, which must never fail.
func (r *run) republish(s *slot) *violation {
	if s.state != published || !s.vanished.IsZero() {
		return nil
	}
	spec, err := s.spec(s.wish)
	if err != nil {
		return wrong("script", "%v", err)
	}
	began := time.Now()
	if err := r.p.volumes.Publish(r.p.ctx, spec); err != nil {
		return wrong("republish", "republishing %s: %v", s.id, err)
	}
	if took := time.Since(began); took != 0 {
		return wrong("republish", "republishing %s took %s", s.id, took)
	}
	r.found(s)
	return nil
}

// found notes that the driver knows a volume again whose records went.
func (r *run) found(s *slot) {
	if s.adrift {
		s.adrift, s.suspect = false, time.Now()
	}
}

// fault runs steps while one effect fails.
func (r *run) fault(s step) *violation {
	n, err := strconv.Atoi(s.words[1])
	if err != nil {
		return wrong("script", "%v", err)
	}
	r.disturb()
	r.faulty = true
	r.p.gate.set(0, n)
	return r.batch(s.with)
}

// disturb notes that something fails now that the world does not show.
func (r *run) disturb() {
	r.faulted = time.Now()
	r.world.sicken()
}

// kill runs steps and kills the process at one of their effects, at the latest
// when they are done.
func (r *run) kill(s step) *violation {
	n, err := strconv.Atoi(s.words[1])
	if err != nil {
		return wrong("script", "%v", err)
	}
	down, err := time.ParseDuration(s.words[2])
	if err != nil {
		return wrong("script", "%v", err)
	}
	began := time.Now()
	r.p.gate.set(n, 0)
	calls, v := r.together(s.with)
	if v != nil {
		return v
	}
	r.p.kill()
	r.p = nil
	r.books.excuse(began) // the kill may have cut their records off
	r.note("killed")
	time.Sleep(down)
	if v := r.start(); v != nil {
		return v
	}
	for _, s := range r.slots {
		if v := r.observe(s, calls); v != nil {
			return v
		}
	}
	return r.check()
}

// halt stops the driver in good order, or the node without any.
func (r *run) halt(s step) *violation {
	down, err := time.ParseDuration(s.words[1])
	if err != nil {
		return wrong("script", "%v", err)
	}
	p := r.p
	r.p = nil
	if s.words[0] == "stop" {
		if err = p.stop(); !r.faulted.IsZero() {
			err = nil // a record that could not be deleted, as it may say, goes with the next start
		}
	} else {
		p.kill()
		err = crash(r.base, s.words[0] == "reboot")
	}
	if err != nil {
		return wrong("stop", "%v", err)
	}
	time.Sleep(down)
	if s.words[0] != "stop" {
		r.forgotten(s.words[0] == "reboot")
	}
	r.passing.Store(s.words[0] == "stop" && r.undisturbed())
	v := r.start()
	r.passing.Store(false)
	if v != nil {
		return v
	}
	return r.check()
}

// forgotten is what the model knows after the runtime directory is lost, and
// with it the mounts, or not.
func (r *run) forgotten(unmounted bool) {
	r.books.excuse(time.Time{})
	r.lost = time.Now()
	clear(r.loose)
	for _, s := range r.slots {
		switch {
		case unmounted && !s.vanished.IsZero(): // the kubelet finds the directory of a pod that is gone
			_ = os.RemoveAll(s.pod)
			s.letGo()
			s.state, s.adrift, s.suspect, s.dirStays, s.vanished = absent, false, time.Time{}, false, time.Time{}
		case unmounted:
			s.letGo()
			s.dirStays = s.dirStays || s.state != absent
			s.state, s.adrift, s.suspect = absent, false, time.Time{}
		case s.state != absent:
			s.adrift = true
		}
	}
}

func (r *run) start() *violation {
	p, err := r.launch()
	if p != nil {
		r.p = p
	}
	if err != nil {
		return wrong("start", "%v", err)
	}
	clear(r.loose)
	r.up = time.Now()
	r.blind = r.world.blind()
	time.Sleep(settle)
	synctest.Wait()
	return nil
}

// vanish takes a pod away without telling the driver.
func (r *run) vanish(step step) *violation {
	s := r.slot(step)
	if s == nil || s.state != published || s.adrift || !s.vanished.IsZero() {
		return nil
	}
	s.desert()
	s.vanished = time.Now()
	return r.check()
}

func (r *run) slot(s step) *slot {
	i := slices.IndexFunc(r.slots, func(one *slot) bool { return len(s.words) > 1 && one.id == s.words[1] })
	if i < 0 {
		return nil
	}
	return r.slots[i]
}
