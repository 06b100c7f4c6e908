package model

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// finish heals the world, takes every volume away and waits: nothing may be
// left anywhere.
func (r *run) finish() *violation {
	r.world.heal()
	for _, l := range links {
		r.p.tell(l.changed())
	}
	r.p.tell(secretChanged)
	r.p.tell(caChanged...)
	if v := r.pass(recovery+10*time.Minute, true); v != nil {
		return v
	}
	for _, s := range r.slots {
		if err := r.p.volumes.Unpublish(r.p.ctx, s.id, s.target); err != nil {
			return wrong("unpublish", "%s: %v", s.id, err)
		}
		if err := s.clear(); err != nil {
			return wrong("directory", "%v", err)
		}
		s.state, s.dirStays, s.vanished, s.adrift = absent, false, time.Time{}, false
	}
	clear(r.loose)
	time.Sleep(settle)
	if v := r.check(); v != nil {
		return v
	}
	if !r.faulted.IsZero() { // a record that could not be deleted waits for a restart
		_ = r.p.stop() // it may say so
		r.p = nil
		if v := r.start(); v != nil {
			return v
		}
	}
	if v := r.pass(max(overlap, linger)+6*time.Minute, false); v != nil {
		return v
	}
	return r.nothing()
}

// nothing: no object, no record, no mount, and after a clean stop no directory.
func (r *run) nothing() *violation {
	if v := r.books.empty(); v != nil {
		return v
	}
	for name, records := range map[string]interface {
		All() (map[string][]byte, error)
	}{
		"volume": r.p.store.Volumes(), "credential": r.p.store.Credentials(), "intent": r.p.store.Intents(),
	} {
		if all, err := records.All(); err != nil || len(all) > 0 {
			return wrong("leftovers", "%d %s records: %v", len(all), name, err)
		}
	}
	err := r.p.stop()
	r.p = nil
	if err != nil {
		return wrong("stop", "%v", err)
	}
	for _, dir := range []string{"/run", "/state"} {
		if _, err := os.Lstat(r.base + dir); !errors.Is(err, fs.ErrNotExist) {
			return wrong("leftovers", "a clean stop left %s: %v", dir, err)
		}
	}
	return nil
}
