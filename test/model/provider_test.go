package model

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// object is what a provider's books say of one credential.
type object struct {
	name      string
	link      int
	uid       string
	shape     string
	subject   connector.Subject
	scope     connector.Scope
	wished    time.Duration // life
	life      time.Duration
	made      time.Time
	ends      time.Time // zero = only when it is revoked
	revoked   bool
	delivered bool
	// What the checks saw.
	shown   time.Time       // last, in a published volume
	shownBy map[string]bool // at the last check
	excused bool            // it may be made again
}

func (o *object) live(now time.Time) bool {
	return !o.revoked && (o.ends.IsZero() || now.Before(o.ends))
}

// books are kept by the providers, whatever becomes of the driver.
type books struct {
	mu       sync.Mutex
	objects  map[string]*object
	flying   map[string]string // names of the calls under way, by what they ask for
	mistakes []*violation
}

func newBooks() *books {
	return &books{objects: map[string]*object{}, flying: map[string]string{}}
}

func (b *books) complain(rule, format string, args ...any) {
	b.mistakes = append(b.mistakes, wrong(rule, format, args...))
}

// asked is everything that makes two credentials different.
func (o *object) asked() string {
	subject := o.subject
	switch links[o.link].sharing {
	case connector.ShareConnector:
		subject = connector.Subject{}
	case connector.ShareServiceAccount:
		subject = connector.Subject{Namespace: subject.Namespace, ServiceAccount: subject.ServiceAccount}
	case connector.SharePod:
	}
	return fmt.Sprintf("link %d, UID %s, %s, %s %s, scope %v, life %s", o.link, o.uid, o.shape, subject, subject.PodUID, o.scope, o.wished)
}

// make enters a new object. One that is in the first half of its life, and that
// pods read, is not made a second time, unless a holder was cut off from it.
func (b *books) make(o *object, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, other := range b.objects {
		if other.asked() == o.asked() && other.live(o.made) && other.delivered && len(other.shownBy) > 0 &&
			!other.excused && !cut && o.made.Sub(other.made) < other.life/2 {
			b.complain("issued-twice", "%s: %s was made at %s although %s, made at %s, was in use by %v", links[o.link].name,
				o.name, clock(o.made), other.name, clock(other.made), other.shownBy)
		}
	}
	b.objects[o.name] = o
}

func (b *books) begin(o *object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if other, busy := b.flying[o.asked()]; busy {
		b.complain("two-calls", "%s: %s was asked for while %s was under way", links[o.link].name, o.name, other)
	}
	b.flying[o.asked()] = o.name
}

func (b *books) end(o *object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.flying[o.asked()] == o.name {
		delete(b.flying, o.asked())
	}
}

// issuer is a provider as one process of the driver reaches it.
type issuer struct {
	p      *process
	config issuerConfig
}

type issuerConfig struct {
	Link    int `json:"link"`
	Edition int `json:"edition"`
}

// Validate implements issuers.Config.
func (issuerConfig) Validate() error { return nil }

// Audiences implements issuers.Issuer.
func (issuer) Audiences() []string { return nil }

// Scope implements issuers.Scoper.
func (issuer) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	return want, connector.GrainRepository
}

// Issue implements issuers.Issuer.
func (i issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	r := i.p.run
	mode := r.world.mode(i.config.Link)
	o := &object{
		name: req.Name, link: i.config.Link, uid: req.Connector.UID, shape: shape(i.config.Edition, revisionOf(req.Connector)),
		subject: req.Identity.Subject(), scope: req.Scope, wished: req.TTL, life: lifeOf(i.config.Link, req.TTL), shownBy: map[string]bool{},
	}
	r.books.begin(o)
	defer r.books.end(o)
	if err := i.travel(ctx, mode); err != nil {
		return nil, err
	}
	switch mode {
	case "down":
		return nil, issuers.Retry(0, "Down", "the provider is down")
	case "denied":
		return nil, issuers.Deny("Denied", "the provider refuses the identity")
	case "terminal":
		return nil, issuers.Terminate("Wrong", "the configuration is wrong")
	}
	if err := i.p.gate.effect("make " + o.name); err != nil {
		return nil, err
	}
	o.made = time.Now()
	if !links[o.link].endless {
		o.ends = o.made.Add(o.life)
	}
	if mode == "ended" { // a provider with a wrong clock
		o.ends = o.made.Add(-time.Second)
	}
	r.books.make(o, r.world.cutOff(o.link) || r.world.pressed(o.link))
	if mode == "lost" {
		return nil, issuers.Retry(0, "Lost", "the connection broke")
	}
	if err := i.p.gate.effect("answer " + o.name); err != nil {
		return nil, err
	}
	if mode != "ended" {
		r.books.deliver(o)
	}
	return &connector.Credential{
		IssuedAt: o.made, ExpiresAt: o.ends, Granted: req.Scope, Grain: connector.GrainRepository, Handle: handle(o.name),
		Entries: []connector.Entry{{Key: connector.Key{Host: links[o.link].host()}, Username: "u", Password: connector.NewSecret(o.name)}},
	}, nil
}

// left is how long a credential lives on; what nobody ends lives for ever.
func (b *books) left(password string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o := b.objects[password]; o != nil && !o.ends.IsZero() {
		return time.Until(o.ends)
	}
	return 1000 * time.Hour
}

func (b *books) deliver(o *object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.delivered = true
}

func handle(name string) connector.Handle { return connector.Handle("handle-of-" + name) }

// travel is the way to the provider and back.
func (i issuer) travel(ctx context.Context, mode string) error {
	wait := i.p.run.chance(200 * time.Millisecond)
	switch mode {
	case "slow":
		wait += 20 * time.Second
	case "stuck":
		wait = time.Hour
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lifeOf is how long what a link gives lives, when a pod wishes for a life.
func lifeOf(i int, wished time.Duration) time.Duration {
	if wished == 0 || links[i].endless {
		return links[i].life
	}
	return min(wished, links[i].life)
}

// revisionOf is that of the registry's entry, as its mirror tells.
func revisionOf(c *connector.Connector) int {
	for revision := range 1000 {
		if slices.Contains(c.Registries[0].Mirrors, "https://"+links[linkAt(c.Ref)].mirror(revision)) {
			return revision
		}
	}
	return 0
}

// revoker is an issuer whose objects can be deleted.
type revoker struct{ issuer }

// Revoke implements issuers.Revoker.
func (i revoker) Revoke(ctx context.Context, req issuers.Request, h connector.Handle) error {
	r := i.p.run
	mode := r.world.mode(i.config.Link)
	if err := i.travel(ctx, mode); err != nil {
		return err
	}
	if slices.Contains([]string{"down", "denied", "terminal"}, mode) {
		return issuers.Retry(0, "Down", "the provider is down")
	}
	if h != "" && h != handle(req.Name) {
		return issuers.Terminate("WrongHandle", "%s is not the handle of %s", h, req.Name)
	}
	if err := i.p.gate.effect("revoke " + req.Name); err != nil {
		return err
	}
	r.books.revoke(req.Name, r.calm(i.config.Link))
	if mode == "lost" {
		return issuers.Retry(0, "Lost", "the connection broke")
	}
	return nil
}

// revoke deletes an object. While all is calm, one that pods have read once is
// not deleted before the overlap with its successor has passed.
func (b *books) revoke(name string, calm bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o, now := b.objects[name], time.Now()
	if o == nil {
		return
	}
	for _, next := range b.objects {
		if calm && o.live(now) && !o.shown.IsZero() && next.asked() == o.asked() && next.made.After(o.made) &&
			len(next.shownBy) > 0 && now.Sub(next.made) < overlap {
			b.complain("revoked-early", "%s: %s was revoked at %s, and its successor %s was made at %s", links[o.link].name, name, clock(now), next.name, clock(next.made))
		}
	}
	o.revoked = true
}

// excuse lets what was made since then be made again.
func (b *books) excuse(since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.objects {
		o.excused = o.excused || !o.made.Before(since)
	}
}

// empty: every object is revoked.
func (b *books) empty() *violation {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.objects {
		if links[o.link].kind == kindObject && o.live(time.Now()) {
			return wrong("leak", "%s of %s, made at %s, is at the provider for ever", o.name, links[o.link].name, clock(o.made))
		}
	}
	return nil
}

// definitions are the issuers that a process knows.
func definitions(p *process) []issuers.Definition {
	return []issuers.Definition{
		secret.Definition(),
		issuers.Define(kindObject, issuers.Docs{Sharing: connector.ShareConnector}, "",
			func(c issuerConfig) issuers.Issuer { return revoker{issuer{p, c}} }),
		issuers.Define(kindToken, issuers.Docs{Sharing: connector.ShareConnector}, "",
			func(c issuerConfig) issuers.Issuer { return issuer{p, c} }),
	}
}
