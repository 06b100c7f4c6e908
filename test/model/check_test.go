package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

const (
	// recovery is how long it may take until what was ill is well again: the
	// longest back-off after a refusal, a retry, a check of the grants.
	recovery = 20 * time.Minute
	// denial is how long an explicit denial may go unnoticed.
	denial = 11 * time.Minute
	// grace is how long static content outlives its source, and files a lost
	// credential.
	grace = 10*time.Minute + settle
)

// observe takes over into the model what became of a slot whose calls cannot be
// told from their answers: it has to be wholly there or wholly gone.
func (r *run) observe(s *slot, calls []*call) *violation {
	mine := callsOf(s, calls)
	if len(mine) == 0 {
		return nil
	}
	all, err := mounts(r.base)
	if err != nil {
		return wrong("script", "%v", err)
	}
	was := s.state
	if all[s.target] == 0 {
		if was == published && len(mine) == 1 && !mine[0].unpublish() {
			return wrong("mounts", "%s is gone after: %s", s.id, mine[0].step)
		}
		s.state, s.adrift, s.suspect = absent, false, time.Time{}
		if slices.ContainsFunc(mine, (*call).unpublish) && mine[len(mine)-1].err == nil && allUnpublish(mine) {
			s.dirStays, s.vanished = false, time.Time{}
			if err := s.clear(); err != nil {
				return wrong("directory", "%v", err)
			}
		}
		return nil
	}
	succeeded := slices.ContainsFunc(mine, func(c *call) bool { return !c.unpublish() && c.err == nil })
	switch {
	case was == published && s.adrift:
		if succeeded {
			r.found(s)
		}
		return nil
	case was == ending && !succeeded: // a restart may have adopted it: then there is a conflict
		if c := mine[0]; len(mine) == 1 && !c.unpublish() && !errors.Is(c.err, errDead) && !errors.Is(c.err, connector.ErrConflict) && time.Since(r.faulted) >= settle {
			return wrong("half-published", "%s failed (%v) and left the mount of the volume before it", c.step, c.err)
		}
		return nil
	}
	wishes := []wish{}
	if was != absent {
		wishes = append(wishes, s.wish)
	}
	for _, c := range mine {
		if !c.unpublish() {
			wishes = append(wishes, c.wish)
		}
	}
	recorded, err := r.recorded(s)
	if err != nil && !r.quiet(time.Now()) && was == published {
		return nil // it could not be written, and will be
	}
	if err != nil {
		return wrong("record", "%v", err)
	}
	i := slices.IndexFunc(wishes, func(w wish) bool { return w.equal(recorded) })
	if i < 0 {
		return wrong("record", "%s is recorded with %v; asked for was %v", s.id, recorded, wishes)
	}
	if was != published || !s.wish.equal(wishes[i]) {
		s.since = time.Now()
	}
	s.state, s.wish = published, wishes[i]
	return nil
}

func allUnpublish(calls []*call) bool {
	return !slices.ContainsFunc(calls, func(c *call) bool { return !c.unpublish() })
}

// recorded reads what the driver remembers of a volume.
func (r *run) recorded(s *slot) (wish, error) {
	documents, err := r.p.store.Volumes().All()
	if err != nil {
		return wish{}, err
	}
	document, ok := documents[s.id]
	if !ok {
		return wish{}, fmt.Errorf("%s is mounted and has no record", s.id)
	}
	var record struct {
		Attributes struct {
			Uses []struct {
				Written string
				Want    struct{ Repositories []string }
			}
			TTL, MinimumLife time.Duration
		}
	}
	if err := json.Unmarshal(document, &record); err != nil {
		return wish{}, err
	}
	w := wish{ttl: record.Attributes.TTL, minimum: record.Attributes.MinimumLife}
	for _, use := range record.Attributes.Uses {
		w.uses = append(w.uses, linkOf(use.Written))
		w.narrow = w.narrow || len(use.Want.Repositories) > 0
	}
	return w, nil
}

// check compares the node and the providers' books with the model.
func (r *run) check() *violation {
	synctest.Wait()
	r.world.mu.Lock()
	r.world.diagnose()
	r.world.mu.Unlock()
	r.look()
	for _, rule := range []func() *violation{r.complaints, r.mounted, r.remembered, r.contents, r.leaks, r.held} {
		if v := rule(); v != nil {
			return v
		}
	}
	return nil
}

// complaints are the providers' own.
func (r *run) complaints() *violation {
	r.books.mu.Lock()
	defer r.books.mu.Unlock()
	if len(r.books.mistakes) > 0 {
		return r.books.mistakes[0]
	}
	return nil
}

// mounted: each published volume is mounted once, and nothing else is.
func (r *run) mounted() *violation {
	all, err := mounts(r.base)
	if err != nil {
		return wrong("script", "%v", err)
	}
	for _, s := range r.slots {
		n := all[s.target]
		delete(all, s.target)
		if v := r.departed(s, n); v != nil {
			return v
		}
		switch {
		case s.state == published && n != 1, s.state == absent && n != 0, n > 1:
			return wrong("mounts", "%s is %s and mounted %d times", s.id, s.state, n)
		}
		if _, err := os.Lstat(s.target); s.state == absent && !s.dirStays && !r.loose[s.id] && !errors.Is(err, fs.ErrNotExist) {
			return wrong("directory", "%s is absent and %s is there: %v", s.id, s.target, err)
		}
	}
	for target, n := range all {
		return wrong("mounts", "%d mounts at %s, where nobody asked for any", n, target)
	}
	return nil
}

// departed follows a volume whose pod went: the driver has to take it away by
// itself, after seeing so twice.
func (r *run) departed(s *slot, mounts int) *violation {
	switch {
	case s.vanished.IsZero():
	case mounts == 0:
		s.state, s.vanished, s.adrift, s.suspect = absent, time.Time{}, false, time.Time{}
		if err := s.clear(); err != nil {
			return wrong("directory", "%v", err)
		}
	case s.state == published && time.Since(later(s.vanished, r.up, r.faulted)) > 12*time.Minute:
		return wrong("orphan", "the pod of %s went at %s, and the volume is still there", s.id, clock(s.vanished))
	}
	return nil
}

func later(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// remembered: there is a record for each published volume, and no other.
func (r *run) remembered() *violation {
	documents, err := r.p.store.Volumes().All()
	if err != nil {
		return wrong("record", "%v", err)
	}
	for _, s := range r.slots {
		_, there := documents[s.id]
		delete(documents, s.id)
		extra := there && s.state == absent && !r.loose[s.id]
		missing := !there && s.state == published && !s.adrift && r.quiet(time.Now())
		if extra || missing {
			return wrong("record", "%s is %s; record: %v", s.id, s.state, there)
		}
	}
	for id := range documents {
		return wrong("record", "%s", "of a volume that nobody asked for: "+id)
	}
	return nil
}

// contents: every published volume shows what its pod may have, and nothing
// that ended.
func (r *run) contents() *violation {
	now := time.Now()
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.books.mu.Lock()
	defer r.books.mu.Unlock()
	for _, o := range r.books.objects {
		if v := r.cut(o, now); v != nil {
			return v
		}
		clear(o.shownBy)
	}
	for _, s := range r.slots {
		if s.state != published || !s.vanished.IsZero() {
			continue
		}
		shown, err := s.shown()
		if err != nil {
			return wrong("torn", "%s: %v", s.id, err)
		}
		for _, i := range s.wish.uses {
			password := shown[links[i].host()]
			delete(shown, links[i].host())
			if v := r.content(s, i, password, now); v != nil {
				return v
			}
		}
		for host := range shown {
			return wrong("content", "%s shows an entry for %s, which it did not ask for", s.id, host)
		}
		r.world.press(s.wish)
		if v := r.trust(s, now); v != nil {
			return v
		}
	}
	return nil
}

// look notes what is shown, also while steps are under way.
func (r *run) look() {
	r.books.mu.Lock()
	defer r.books.mu.Unlock()
	for _, s := range r.slots {
		shown, err := s.shown()
		if err != nil {
			continue // not mounted, or just going
		}
		for _, password := range shown {
			if o := r.books.objects[password]; o != nil {
				o.shown = time.Now()
			}
		}
	}
}

// cut: what a pod read that its owner does not admit any longer is revoked at
// once, after the others got another one. What is left of a former generation
// only lingers.
func (r *run) cut(o *object, now time.Time) *violation {
	d := r.world.declared[o.link]
	former := o.shape != d.shape() || o.uid != fmt.Sprint(d.uid)
	if former || !o.live(now) || links[o.link].kind != kindObject || d.state != "" || !r.quiet(now) || r.world.rough(o.link, now) {
		return nil
	}
	for _, s := range r.slots {
		if o.shownBy[s.id] && s.state == published && s.vanished.IsZero() && !s.adrift && !slices.Contains(d.open, s.account) {
			return wrong("known", "%s of %s is live although %s, which knows it, is not admitted any longer", o.name, links[o.link].name, s.id)
		}
	}
	return nil
}

// content judges one entry.
func (r *run) content(s *slot, i int, password string, now time.Time) *violation {
	l, d := links[i], r.world.declared[i]
	wrong := func(rule, format string, args ...any) *violation {
		return wrong(rule, "%s, link %s, shows %q: "+format, append([]any{s.id, l.name, password}, args...)...)
	}
	ill := r.world.ill[i][s.account]
	blind := r.blindFor(s, now)
	healthy := !blind && (ill.IsZero() || now.Sub(ill) > recovery)
	quiet := r.quiet(now)
	lost := s.adrift || (!s.suspect.IsZero() && now.Sub(later(s.suspect, r.up)) <= grace+recovery)
	if password == "" {
		if healthy && !lost {
			return wrong("emptied", "nothing is wrong since %s", clock(ill))
		}
		return nil
	}
	if !s.adrift && quiet {
		switch {
		case d.state == "" && !slices.Contains(d.open, s.account):
			return wrong("withdrawn", "its owner does not consent")
		case d.state == "" && l.foreign() && d.permit[s.account] == "denied" && now.Sub(later(d.denied[s.account], r.up, s.since, s.suspect)) > denial:
			return wrong("withdrawn", "it is denied since %s", clock(d.denied[s.account]))
		case lost:
		case l.kind == secret.Kind && r.world.secret == 0 && now.Sub(later(r.world.gone, r.up)) > grace,
			l.kind == secret.Kind && d.state == "missing" && now.Sub(later(d.missing, r.up)) > grace:
			return wrong("withdrawn", "its source is gone since %s and %s", clock(r.world.gone), clock(d.missing))
		}
	}
	if l.kind == secret.Kind {
		if healthy && !lost && password != storedPassword(r.world.secret) {
			return wrong("stale", "the Secret says %s", storedPassword(r.world.secret))
		}
		return nil
	}
	o := r.books.objects[password]
	if o == nil || o.link != i {
		return wrong("content", "the provider never gave it")
	}
	o.shown = now
	o.shownBy[s.id] = true
	mine := object{link: i, uid: o.uid, shape: o.shape, subject: s.subject(), scope: s.wish.scope(i), wished: s.wish.ttl}
	switch {
	case o.asked() != mine.asked():
		return wrong("content", "it is for %s and not for %s", o.asked(), mine.asked())
	case lost || !quiet || blind:
	case !o.ends.IsZero() && !now.Before(o.ends) && now.Sub(r.up) < grace: // a kill came between the end of its record and the files
	case !o.live(now):
		return wrong("dead", "it ended: revoked %v, %s", o.revoked, clock(o.ends))
	case healthy && (o.shape != d.shape() || o.uid != fmt.Sprint(d.uid)):
		return wrong("stale", "it is of %s of %s, in force is %s of %d", o.shape, o.uid, d.shape(), d.uid)
	}
	return nil
}

// blindFor reports whether the driver started without the CA of a connector
// of the volume: until it is known again, the files stay as they are.
func (r *run) blindFor(s *slot, now time.Time) bool {
	named := func(i int) bool { return r.world.declared[i].trusted }
	return r.blind && slices.ContainsFunc(s.wish.uses, named) && (r.world.ca == 0 || now.Sub(r.world.noCA) <= recovery)
}

// quiet reports whether no fault was injected lately.
func (r *run) quiet(now time.Time) bool { return r.faulted.IsZero() || now.Sub(r.faulted) > recovery }

// leaks: an object at a provider is in use, or on its way out.
func (r *run) leaks() *violation {
	now := time.Now()
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	r.books.mu.Lock()
	defer r.books.mu.Unlock()
	var unseen []int // links whose credentials some volume holds without showing them
	for _, s := range r.slots {
		if s.state == published && r.blindFor(s, now) {
			unseen = append(unseen, s.wish.uses...)
		}
	}
	for _, o := range r.books.objects {
		if links[o.link].kind != kindObject || !o.live(now) || slices.Contains(unseen, o.link) {
			continue
		}
		ill := later(r.world.ill[o.link]["a"], r.world.ill[o.link]["b"])
		rest := overlap + piece + 3*time.Minute // providers that hang hold the workers up
		if !ill.Before(o.made) {
			rest += 5 * time.Minute // a failed revocation is tried again
		}
		if since := later(o.made, o.shown, ill, r.up, r.world.declared[o.link].asked); now.Sub(since) > rest {
			return wrong("leak", "%s of %s, made at %s, last shown at %s, is still at the provider", o.name, links[o.link].name, clock(o.made), clock(o.shown))
		}
	}
	return nil
}
