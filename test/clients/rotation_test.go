package clients

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

const (
	// loadLasts is how long all clients pull at once, at least, while a login
	// changes; loadBound ends what takes too long.
	loadLasts = 8 * time.Second
	loadBound = 15 * time.Minute
	// fewestPulls makes it a load; a machine that is busy with other things
	// manages several times as much.
	fewestPulls = 2
)

// turnsWanted is how often the login changes at least (REGCRED_TURNS).
func turnsWanted(t *testing.T) int64 {
	text := cmp.Or(os.Getenv("REGCRED_TURNS"), "20")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("REGCRED_TURNS=%s: write a number", text)
	}
	return n
}

// rotation has all clients pull from one volume while its login turns between
// two users, of whom both are let in: whatever fails, fails by what it read.
func rotation(t *testing.T, s *stage) func(*testing.T, program) error {
	turns := []string{"turn-a", "turn-b"}
	for _, name := range turns {
		s.Tokens.SetPassword(name, password)
		s.Tokens.Grant(name, "team/app", "pull")
	}
	login := func(turn int64) (user, manifest string) {
		user = turns[turn%2]
		return user, world.Login(namespace, "turning-login", user, password)
	}
	_, manifest := login(0)
	write(t, s.World, "turning-login", manifest)
	write(t, s.World, "turning", s.Connector(namespace, "turning", "issuer: {secret: {name: turning-login}}"))
	v := aVolume("turning", "turning")
	publishSoon(t, s.World, v)
	files := filesOf(s.World, v)

	ctx, cancel := context.WithTimeout(t.Context(), loadBound)
	defer cancel()
	began, wanted := time.Now(), turnsWanted(t)
	var outcome sync.Map // program → error
	var turn atomic.Int64
	var load errgroup.Group
	for _, p := range programs() {
		if p.daemon && s.daemon == nil {
			continue // its cell says so
		}
		c := p.with(t, files, s.daemon)
		load.Go(func() error {
			pulls := 0
			for ctx.Err() == nil {
				if err := c.Pull(t.Context(), s.Image("team/app", seed)); err != nil {
					outcome.Store(p.name, fmt.Errorf("pull %d, after %d turns: %w", pulls, turn.Load(), err))
					return nil
				}
				pulls++
			}
			if pulls < fewestPulls {
				outcome.Store(p.name, fmt.Errorf("only %d pulls within %s", pulls, time.Since(began)))
			}
			return nil
		})
	}
	for ctx.Err() == nil && (turn.Load() < wanted || time.Since(began) < loadLasts) {
		name, manifest := login(turn.Add(1))
		write(t, s.World, "turning-login", manifest)
		awaitEntry(t, s.World, v, within, isLogin(name, password))
	}
	late := ctx.Err() != nil
	cancel()
	must(t, load.Wait())
	t.Logf("%d turns in %s", turn.Load(), time.Since(began).Round(time.Second))
	if late {
		t.Errorf("the login changed only %d times within %s", turn.Load(), loadBound)
	}
	return func(t *testing.T, p program) error {
		p.with(t, files, s.daemon)
		if err, failed := outcome.Load(p.name); failed {
			return err.(error)
		}
		return nil
	}
}
