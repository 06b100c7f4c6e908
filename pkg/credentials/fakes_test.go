package credentials_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
)

// provider is a registry's credential service with books that the tests read.
type provider struct {
	mu     sync.Mutex
	life   time.Duration
	delay  time.Duration
	err    error         // answered instead of a credential
	cut    bool          // the object is made, and the answer lost
	down   bool          // revocation fails
	age    time.Duration // of the answers, as from a cache
	dead   string        // the pod whose token it does not take
	slow   time.Duration // of revocations
	stalls string        // the namespace whose Connectors get no answer
	hangs  string        // the Connector whose revocations are not answered
	same   string        // the password of every answer; empty = each has its own

	revoking, mostRevoking int
	calls                  int
	asked                  []time.Time
	live                   map[string]bool // objects by name
	revoked                []string
}

func (p *provider) set(f func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *provider) callCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

func (p *provider) objects() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.live))
}

// minting issues a token of the provider's life, without server-side object.
type minting struct{ p *provider }

func (i minting) Audiences() []string { return nil }

func (i minting) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	i.p.mu.Lock()
	i.p.calls++
	i.p.asked = append(i.p.asked, time.Now())
	n, delay, life := i.p.calls, i.p.delay, i.p.life
	if i.p.stalls == req.Connector.Ref.Namespace {
		delay = time.Hour
	}
	i.p.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	i.p.mu.Lock()
	defer i.p.mu.Unlock()
	if i.p.err != nil {
		return nil, i.p.err
	}
	if pod := req.Identity.Subject().Pod; i.p.dead != "" && pod == i.p.dead {
		return nil, issuers.NewIdentity("TokenExpired", "the token of %s has expired", pod)
	}
	cred := &connector.Credential{
		IssuedAt: time.Now().Add(-i.p.age), Grain: connector.GrainRepository, Granted: req.Scope,
		Entries: []connector.Entry{{
			Key: connector.Key{Host: "reg.test"}, Username: "u",
			Password: connector.NewSecret(cmp.Or(i.p.same, fmt.Sprint("password-", n))),
		}},
	}
	if life > 0 {
		cred.ExpiresAt = cred.IssuedAt.Add(life)
	}
	return cred, nil
}

func (i minting) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	return want, connector.GrainRepository
}

// making issues credentials that live at the provider until they are revoked.
type making struct{ minting }

func (i making) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	cred, err := i.minting.Issue(ctx, req)
	if err != nil {
		return nil, err
	}
	i.p.mu.Lock()
	defer i.p.mu.Unlock()
	i.p.live[req.Name] = true
	if i.p.cut {
		return nil, issuers.Retry(0, "Cut", "the connection broke")
	}
	cred.Handle = connector.Handle("handle-of-" + req.Name)
	return cred, nil
}

func (i making) Revoke(ctx context.Context, req issuers.Request, handle connector.Handle) error {
	i.p.mu.Lock()
	if i.p.hangs == req.Connector.Ref.Name {
		i.p.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	i.p.revoking++
	i.p.mostRevoking = max(i.p.mostRevoking, i.p.revoking)
	slow := i.p.slow
	i.p.mu.Unlock()
	time.Sleep(slow)
	i.p.mu.Lock()
	defer i.p.mu.Unlock()
	i.p.revoking--
	if i.p.down {
		return issuers.Retry(0, "Down", "the provider is down")
	}
	if handle != "" && handle != connector.Handle("handle-of-"+req.Name) {
		return issuers.Terminate("WrongHandle", "handle %s is not of %s", handle, req.Name)
	}
	delete(i.p.live, req.Name)
	i.p.revoked = append(i.p.revoked, req.Name)
	return nil
}

// takenBack is the password of a Secret whose owner no longer consents.
const takenBack = "taken back"

// stored hands out what a Secret named "pull" holds.
type stored struct{ minting }

func (i stored) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	i.p.set(func(p *provider) { p.calls++ })
	object, err := req.Objects.Object(ctx, connector.KindSecret, "pull")
	if err != nil {
		return nil, issuers.Retry(0, "SecretNotFound", "Secret %q: %w", "pull", err)
	}
	if object.Data["password"].Reveal() == takenBack {
		return nil, issuers.Deny("SecretNotLabelled", "the owner took it back: %w", connector.ErrDenied)
	}
	return &connector.Credential{
		IssuedAt: time.Now(), Static: true, LongLived: true, Grain: connector.GrainNone,
		Entries: []connector.Entry{{
			Key: connector.Key{Host: "reg.test"}, Username: "u", Password: object.Data["password"],
			ExpiresAt: time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC),
		}},
	}, nil
}

// objects is a watch cache of Secrets in namespace ci.
type objects struct {
	mu      sync.Mutex
	secrets map[string]string // name to password
	version int
}

func (o *objects) put(name, password string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version++
	o.secrets[name] = password
}

func (o *objects) remove(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.secrets, name)
}

func (o *objects) Object(_ context.Context, kind connector.ObjectKind, namespace, name string) (*connector.Object, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	password, ok := o.secrets[name]
	if !ok || namespace != "ci" || kind != connector.KindSecret {
		return nil, fmt.Errorf("%s %s/%s: %w", kind, namespace, name, connector.ErrNotFound)
	}
	return &connector.Object{
		Kind: kind, Namespace: namespace, Name: name, Version: fmt.Sprint(o.version),
		Data: map[string]connector.Secret{"password": connector.NewSecret(password)},
	}, nil
}

func (o *objects) Select(context.Context, connector.ObjectKind, string, connector.Selector) ([]*connector.Object, error) {
	return nil, nil
}

// records keeps documents as a memory-backed directory does.
type records struct {
	mu   sync.Mutex
	all  map[string][]byte
	full bool
	torn bool // a document could not be read, and was left out
}

func newRecords() *records { return &records{all: map[string][]byte{}} }

func (r *records) Put(key string, document []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full {
		return fmt.Errorf("%w: no space is left", connector.ErrExhausted)
	}
	r.all[key] = slices.Clone(document)
	return nil
}

func (r *records) Delete(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, key)
	return nil
}

func (r *records) All() (map[string][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.torn {
		return maps.Clone(r.all), errors.New("a record is torn")
	}
	return maps.Clone(r.all), nil
}

func (r *records) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.all))
}

// clients gives clients that reach nothing.
type clients struct{}

func (clients) Client(context.Context, *connector.Connector, issuers.Objects, []string) (*http.Client, error) {
	return &http.Client{}, nil
}

// listener counts what it hears.
type listener struct {
	mu      sync.Mutex
	changed map[string]int
	failed  map[string]int
}

func (l *listener) Changed(holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed[holder]++
}

func (l *listener) RenewalFailed(holder string, _ connector.Ref, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[holder]++
}

func (l *listener) counts(holder string) (changed, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed[holder], l.failed[holder]
}

// book remembers audit records.
type book struct {
	mu      sync.Mutex
	records []audit.Record
}

func (b *book) Write(r audit.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, r)
}

func (b *book) events() []audit.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []audit.Event
	for _, r := range b.records {
		events = append(events, r.Event)
	}
	return events
}

// node is one manager with everything around it. The parts that survive a
// restart are shared by its successors.
type node struct {
	*credentials.Manager
	provider *provider
	objects  *objects
	leased   *records
	intents  *records
	heard    *listener
	audited  *book
	metrics  *metrics.Metrics
	stop     func()
}

const linger = 2 * time.Minute

// start runs a manager until the test ends. Call it inside a bubble.
func start(t *testing.T) *node {
	return (&node{
		provider: &provider{life: time.Hour, live: map[string]bool{}},
		objects:  &objects{secrets: map[string]string{}},
		leased:   newRecords(), intents: newRecords(), audited: &book{},
	}).again(t)
}

// again starts a successor on what the predecessor left.
func (n *node) again(t *testing.T) *node {
	t.Helper()
	next, err := n.againWith(t)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// againWith is again where something left cannot be read.
func (n *node) againWith(t *testing.T) (*node, error) {
	t.Helper()
	next := *n
	next.heard = &listener{changed: map[string]int{}, failed: map[string]int{}}
	next.metrics = metrics.New(prometheus.NewRegistry(), "test")
	m, err := credentials.New(credentials.Options{
		Definitions: definitions(n.provider), Objects: n.objects, Clients: clients{}, Credentials: n.leased, Intents: n.intents,
		Audit: n.audited, Metrics: next.metrics, NamePrefix: "regcred-test", Linger: linger,
	})
	if err != nil {
		t.Fatal(err)
	}
	next.Manager = m
	m.Subscribe(next.heard)
	return &next, m.Load()
}

// run starts the manager's loop and returns when it is idle.
func (n *node) run(t *testing.T) *node {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _ = n.Run(ctx) })
	var once sync.Once
	n.stop = func() { once.Do(func() { cancel(); done.Wait() }) }
	t.Cleanup(n.stop)
	synctest.Wait()
	return n
}

type noConfig struct{}

func (noConfig) Validate() error { return nil }

func definitions(p *provider) []issuers.Definition {
	define := func(kind string, docs issuers.Docs, issuer issuers.Issuer) issuers.Definition {
		return issuers.Define(kind, docs, "", func(noConfig) issuers.Issuer { return issuer })
	}
	return []issuers.Definition{
		define("minting", issuers.Docs{Sharing: connector.ShareServiceAccount}, minting{p}),
		define("making", issuers.Docs{Sharing: connector.ShareConnector}, making{minting{p}}),
		define("stored", issuers.Docs{Static: true, Sharing: connector.ShareConnector}, struct{ issuers.Issuer }{stored{minting{p}}}),
	}
}

// ask is a request for one of the kinds.
func ask(kind, holder string, change ...func(*credentials.Request)) credentials.Request {
	req := credentials.Request{
		Holder: holder,
		Connector: &connector.Connector{
			Ref: connector.Ref{Namespace: "ci", Name: kind}, UID: "uid-1", Generation: 1, ObjectNamespace: "ci",
			Issuer: connector.IssuerConfig{Kind: kind, Config: json.RawMessage("{}")},
		},
		Identity: pod{connector.Subject{Namespace: "ci", ServiceAccount: "builder", Pod: holder, PodUID: holder}},
	}
	for _, f := range change {
		f(&req)
	}
	return req
}

type pod struct{ subject connector.Subject }

func (p pod) Subject() connector.Subject { return p.subject }

func (p pod) Token(context.Context, string) (issuers.Token, error) {
	return issuers.Token{}, issuers.NewIdentity("NoToken", "no token")
}

func acquire(t *testing.T, n *node, req credentials.Request) *credentials.Lease {
	t.Helper()
	lease, err := n.Acquire(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func password(l *credentials.Lease) string {
	cred := l.State().Credential
	if cred == nil {
		return ""
	}
	return cred.Entries[0].Password.Reveal()
}

func secretChanged() connector.Change {
	return connector.Change{Kind: connector.ChangedSecret, Namespace: "ci", Name: "pull"}
}
