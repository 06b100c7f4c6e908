package volume

import (
	"reflect"
	"sync"
	"unique"
)

// mostAlike bounds what is compared with new attributes.
const mostAlike = 16

// alike remembers attributes: the volumes of a node mostly ask for the same.
type alike struct {
	mu   sync.Mutex
	last []Attributes
}

// share returns equal attributes that other volumes keep already, if there are
// some. Nobody may change them.
func (a *alike) share(attributes Attributes) Attributes {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, known := range a.last {
		if reflect.DeepEqual(known, attributes) {
			return known
		}
	}
	if len(a.last) >= mostAlike {
		a.last = nil
	}
	a.last = append(a.last, attributes)
	return attributes
}

// compact returns the spec in the form in which a volume keeps it for life:
// without tokens, in few pieces of memory and shared where others say the same.
// What lives costs at each collection of garbage.
func (m *Manager) compact(spec Spec) Spec {
	spec.Tokens = nil
	spec.Attributes = m.alike.share(spec.Attributes)
	p, s := &spec.Place, &spec.Subject
	joined := p.ID + p.Target + s.Pod + s.PodUID
	for _, text := range []*string{&p.ID, &p.Target, &s.Pod, &s.PodUID} {
		n := len(*text)
		*text, joined = joined[:n], joined[n:]
	}
	for _, text := range []*string{&s.Namespace, &s.ServiceAccount, &s.ServiceAccountUID} {
		*text = unique.Make(*text).Value()
	}
	return spec
}
