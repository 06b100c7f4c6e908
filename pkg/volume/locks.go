package volume

import "sync"

// locks serializes what concerns one volume id, so that a publish and an
// unpublish never overlap, whether or not the volume is known.
type locks struct {
	mu    sync.Mutex
	taken map[string]*idLock
}

type idLock struct {
	sync.Mutex
	users int
}

// tryLock is lock for those who do not wait.
func (l *locks) tryLock(id string) (unlock func(), ok bool) {
	l.mu.Lock()
	_, taken := l.taken[id]
	l.mu.Unlock()
	if taken {
		return nil, false
	}
	return l.lock(id), true
}

// lock waits for the id and returns the function that gives it back.
func (l *locks) lock(id string) (unlock func()) {
	l.mu.Lock()
	if l.taken == nil {
		l.taken = map[string]*idLock{}
	}
	one := l.taken[id]
	if one == nil {
		one = &idLock{}
		l.taken[id] = one
	}
	one.users++
	l.mu.Unlock()
	one.Lock()
	return func() {
		one.Unlock()
		l.mu.Lock()
		defer l.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(l.taken, id)
		}
	}
}
