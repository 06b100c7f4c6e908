package clients

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

const (
	// loadLasts is how long all clients pull at once while a login changes.
	loadLasts = 8 * time.Second
	// fewestTurns and fewestPulls make it a load; a machine that is busy with
	// other things manages several times as much.
	fewestTurns = 20
	fewestPulls = 2
)

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

	ctx, cancel := context.WithTimeout(t.Context(), loadLasts)
	defer cancel()
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
				outcome.Store(p.name, fmt.Errorf("only %d pulls within %s", pulls, loadLasts))
			}
			return nil
		})
	}
	for ctx.Err() == nil {
		name, manifest := login(turn.Add(1))
		write(t, s.World, "turning-login", manifest)
		awaitEntry(t, s.World, v, within, isLogin(name, password))
	}
	must(t, load.Wait())
	t.Logf("%d turns", turn.Load())
	if n := turn.Load(); n < fewestTurns {
		t.Errorf("the login changed only %d times within %s", n, loadLasts)
	}
	return func(t *testing.T, p program) error {
		p.with(t, files, s.daemon)
		if err, failed := outcome.Load(p.name); failed {
			return err.(error)
		}
		return nil
	}
}
