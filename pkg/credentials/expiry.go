package credentials

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// expiryPause is how long the metric may lag: looking at every credential for
// each that is issued would cost more than the rest of it.
const expiryPause = time.Second

// expiries are the Connectors whose end that comes first may be another now.
// The manager's lock guards them.
type expiries struct {
	changed map[connector.Ref]time.Time // to the first end found
	shownAt time.Time
}

func (e *expiries) outdated(ref connector.Ref) {
	if e.changed == nil {
		e.changed = map[connector.Ref]time.Time{}
	}
	e.changed[ref] = time.Time{}
}

// showExpiries exports, for each Connector, the end that comes first among its
// credentials, and returns when to call again at the latest.
func (m *Manager) showExpiries(now time.Time) time.Duration {
	e := &m.expiries
	if len(e.changed) == 0 {
		return longestSleep
	}
	if since := now.Sub(e.shownAt); since >= 0 && since < expiryPause {
		return expiryPause - since
	}
	for _, s := range m.byKey {
		first, asked := e.changed[s.connector.Ref]
		if asked && s.current != nil && !s.current.ExpiresAt.IsZero() && (first.IsZero() || s.current.ExpiresAt.Before(first)) {
			e.changed[s.connector.Ref] = s.current.ExpiresAt
		}
	}
	for ref, first := range e.changed {
		if first.IsZero() {
			m.Metrics.Expiry.DeleteLabelValues(ref.Namespace, ref.Name)
			continue
		}
		m.Metrics.Expiry.WithLabelValues(ref.Namespace, ref.Name).Set(float64(first.Unix()))
	}
	e.changed, e.shownAt = nil, now
	return longestSleep
}
