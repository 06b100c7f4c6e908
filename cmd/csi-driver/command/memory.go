package command

import (
	"maps"
	"slices"
	"sync"
)

// memory keeps records as long as the process lives.
type memory struct {
	mu  sync.Mutex
	all map[string][]byte
}

// Put implements credentials.Records.
func (m *memory) Put(key string, document []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[string][]byte{}
	}
	m.all[key] = slices.Clone(document)
	return nil
}

// Delete implements credentials.Records.
func (m *memory) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
	return nil
}

// All implements credentials.Records.
func (m *memory) All() (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.all), nil
}
