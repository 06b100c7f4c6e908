package clients

import (
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/client"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// situation is one thing that happens to the clients of a volume.
type situation struct {
	name string
	// means says what a client does that passes, for the reader of docs/clients.md.
	means string
	// prepare publishes what the clients share, and returns what each is to do;
	// nil from that means that the client passes.
	prepare func(t *testing.T, s *stage) func(t *testing.T, p program) error
	// cannot says why a client cannot pass; empty = it must.
	cannot func(p program) string
	// fails is what goes wrong for such a client; nil = refusal.
	fails *regexp.Regexp
}

// stage is the world of all situations.
type stage struct {
	*world.World
	daemon *client.Daemon
}

// matrixLife is that of bearer tokens: none ends while the matrix is played.
const matrixLife = 10 * time.Minute

// Every client in every situation. Who cannot pass is said beforehand, with
// the reason; who then passes is a failure too.
func TestMatrix(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	var seen results
	t.Run("of", func(t *testing.T) { // ends when all that is parallel in it has ended
		for _, situation := range situations() {
			t.Run(situation.name, func(t *testing.T) {
				t.Parallel()
				try := situation.prepare(t, s)
				for _, p := range programs() {
					t.Run(p.name, func(t *testing.T) {
						t.Parallel()
						err := try(t, p)
						seen.add(situation.name, p.name, err == nil)
						judge(t, err, situation.cannot(p), situation.fails)
					})
				}
			})
		}
	})
	if !sandbox.Privileged() {
		t.Log("docs/clients.md is not compared: without the machine's root some clients were skipped")
		return
	}
	if !t.Failed() {
		comparePage(t, &seen)
	}
}

// refusal is what clients say when a registry or token server does not let
// them in. Anything else that goes wrong is not what the tests expect.
var refusal = regexp.MustCompile(`(?i)unauthorized|\b40[13]\b|denied|authentication required|authorization (failed|not available)|insufficient.scope|no basic auth`)

func judge(t *testing.T, err error, reason string, fails *regexp.Regexp) {
	t.Helper()
	if fails == nil {
		fails = refusal
	}
	switch {
	case reason == "" && err != nil:
		t.Error(err)
	case reason != "" && err == nil:
		t.Errorf("it passes, and should not be able to: %s", reason)
	case reason != "" && !fails.MatchString(err.Error()):
		t.Errorf("it fails for another reason than %q: %v", reason, err)
	}
}

// results say which client passed in which situation.
type results struct {
	mu     sync.Mutex
	passed map[[2]string]bool
}

func (r *results) add(situation, program string, passed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.passed == nil {
		r.passed = map[[2]string]bool{}
	}
	r.passed[[2]string{situation, program}] = passed
}

func (r *results) of(situation, program string) (passed, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	passed, known = r.passed[[2]string{situation, program}]
	return passed, known
}
