package tmpfs

import (
	"slices"
	"sync"
	"time"
)

// former remembers, until they are swept, when content of a volume was
// superseded. What it does not know, an earlier process left.
type former struct {
	mu sync.Mutex
	at map[string][]generationEnd // by target, the oldest first
}

type generationEnd struct {
	generation string
	at         time.Time
}

func (f *former) add(target, generation string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[string][]generationEnd{}
	}
	f.at[target] = append(f.at[target], generationEnd{generation, at})
}

// after lists what was superseded after a time, and since when the first of
// it is; what was so earlier it forgets.
func (f *former) after(target string, before time.Time) (generations []string, oldest time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	young := slices.DeleteFunc(f.at[target], func(e generationEnd) bool { return !e.at.After(before) })
	if len(young) == 0 {
		delete(f.at, target)
		return nil, time.Time{}
	}
	f.at[target] = young
	for _, e := range young {
		generations = append(generations, e.generation)
	}
	return generations, young[0].at
}

func (f *former) forget(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.at, target)
}
