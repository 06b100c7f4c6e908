package model

import (
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/test/held"
)

// rewritten is how long superseded files stay for those who read them.
const rewritten = 10*time.Second + settle

// holding is what somebody holds of a slot's volumes: those that were, too.
type holding struct {
	mu       sync.Mutex // guards held
	held     []*held.Volume
	data     string    // where the name of the content in force led, at the last check
	switched time.Time // when that was last another
}

// secrets are the passwords of the Secret and of the providers.
var secrets = held.Contains(regexp.MustCompile(`\b(stored-[0-9]+|o-[0-9a-f]{16})\b`))

// hold has somebody hold what a volume shows now.
func (r *run) hold(s *slot) *violation {
	v, err := held.Take(s.target, secrets)
	if err != nil {
		return wrong("script", "holding %s: %v", s.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, v)
	return nil
}

// letGo ends every hold.
func (s *slot) letGo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.held {
		_ = v.Close() // only descriptors
	}
	s.held = nil
}

// held: nobody who holds files of a volume reads a secret that went: at once
// when the volume went, or an entry of it, and else soon after it was replaced.
func (r *run) held() *violation {
	now := time.Now()
	for _, s := range r.slots {
		if v := r.heldOf(s, now); v != nil {
			return v
		}
	}
	return nil
}

func (r *run) heldOf(s *slot, now time.Time) *violation {
	inForce, err := held.InForce(s.target)
	if err != nil {
		return wrong("torn", "%s: %v", s.id, err)
	}
	if data := s.inForce(); data != s.data {
		s.data, s.switched = data, now
	}
	grace := time.Duration(0)
	if shown, err := s.shown(); err == nil && !slices.ContainsFunc(s.wish.uses, func(i int) bool { return shown[links[i].host()] == "" }) {
		grace = rewritten
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range slices.Backward(s.held) {
		there := v.At(s.target)
		switch {
		case s.state == ending, there && s.adrift, there && !s.vanished.IsZero():
			continue // it is for the next call of the kubelet, or goes as an orphan
		case there && grace > 0 && now.Sub(later(s.switched, r.up, r.faulted, s.suspect)) <= grace:
			continue
		}
		left, err := v.Shows(inForce)
		if err != nil {
			return wrong("script", "%v", err)
		}
		if left != "" {
			return wrong("held", "%s is %s, and a secret that went is still in %s", s.id, s.state, left)
		}
		if !there {
			_ = v.Close() // only descriptors
			s.held = slices.Delete(s.held, i, i+1)
		}
	}
	return nil
}
