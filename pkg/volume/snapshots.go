package volume

import (
	"encoding/json"
	"sync"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// mostSnapshots bounds what is remembered; it is forgotten whole when full.
const mostSnapshots = 256

// snapshots turns Connectors into what volume records hold, and back. The
// volumes of one Connector share both.
type snapshots struct {
	mu      sync.Mutex
	written map[*connector.Connector]json.RawMessage
	read    map[string]*connector.Connector
}

// of returns the snapshot of a Connector, which nobody changes once it is in
// force; null when there is none.
func (s *snapshots) of(c *connector.Connector) (json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snapshot, ok := s.written[c]; ok {
		return snapshot, nil
	}
	snapshot, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if s.written == nil || len(s.written) >= mostSnapshots {
		s.written = map[*connector.Connector]json.RawMessage{}
	}
	s.written[c] = snapshot
	return snapshot, nil
}

// from returns the Connector of a snapshot, nil when it holds none.
func (s *snapshots) from(snapshot json.RawMessage) (*connector.Connector, error) {
	if len(snapshot) == 0 {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.read[string(snapshot)]; ok {
		return c, nil
	}
	var c *connector.Connector
	if err := json.Unmarshal(snapshot, &c); err != nil {
		return nil, err
	}
	if s.read == nil || len(s.read) >= mostSnapshots {
		s.read = map[string]*connector.Connector{}
	}
	s.read[string(snapshot)] = c
	return c, nil
}
