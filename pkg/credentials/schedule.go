package credentials

import (
	"math/rand/v2"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

const (
	// unknownLife bounds the age of a credential whose end nobody states.
	unknownLife = 24 * time.Hour
	// maxOverlap is the default upper bound of a superseded credential's rest.
	maxOverlap = time.Hour
	// foreseeable bounds the ends that are believed.
	foreseeable = 100 * 365 * 24 * time.Hour
	// staleGrace is how long static content outlives its source.
	staleGrace = 10 * time.Minute
	// terminalBackOff is the least wait after a failure that asking again
	// cannot heal.
	terminalBackOff = 5 * time.Minute
	firstBackOff    = time.Second
	maxBackOff      = 2 * time.Minute
)

// renewAt picks a random point between half and three quarters of the life,
// so that credentials issued together do not fall due together. Static content
// is read again when its source tells of a change, or when a part of it ends.
//
// A provider that answers with an older credential, as from a cache, is asked
// again after half of what is left, never at once.
func renewAt(now time.Time, c *connector.Credential, maxAge time.Duration) time.Time {
	if c.Static {
		return c.RefreshAt
	}
	life := c.Life()
	if life <= 0 {
		life = unknownLife
	}
	wait := life/2 + rand.N(life/4+1)
	if maxAge > 0 && wait > maxAge {
		wait, life = maxAge-rand.N(maxAge/8+1), maxAge
	}
	left := c.IssuedAt.Add(life).Sub(now)
	return latest(c.IssuedAt.Add(wait), now.Add(max(left/2, firstBackOff)))
}

// revokeAt says when a superseded credential ends: clients that read it once
// go on for the overlap, never beyond its own life.
func revokeAt(now time.Time, c *connector.Credential, overlap time.Duration) time.Time {
	if overlap == 0 {
		overlap = maxOverlap
	}
	at := now.Add(overlap)
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(at) {
		return c.ExpiresAt
	}
	return at
}

// backOff returns how long to wait after the n-th failure in a row (from 1).
func backOff(err error, n int) time.Duration {
	wait := min(firstBackOff<<min(n-1, 10), maxBackOff)
	switch issuers.ClassOf(err) {
	case issuers.Terminal, issuers.Denied:
		wait = terminalBackOff
	case issuers.Retryable, issuers.NeedsNewIdentity:
	}
	wait += rand.N(wait / 4)
	return max(wait, statedWait(err))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
