package volume_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// disk shows files in memory and counts what is done to it.
type disk struct {
	mu         sync.Mutex
	mounts     map[string]render.Files // by target
	ids        map[string]string       // volume id by target
	podGone    map[string]bool
	full       error // answered by Publish and Update
	after      error // answered by Update when the files are in force already
	stuck      error // answered by Remove
	writes     int
	updates    int // calls, also where nothing differed
	purges     int
	sweeps     int
	superseded []time.Time   // and not swept
	publishC   chan struct{} // when set, Publish waits for it
	removeC    chan struct{} // when set, Remove sends to it and then waits for it
}

func newDisk() *disk {
	return &disk{mounts: map[string]render.Files{}, ids: map[string]string{}, podGone: map[string]bool{}}
}

func (d *disk) do(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *disk) Publish(p volume.Place, files render.Files) error {
	if d.publishC != nil {
		<-d.publishC
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full != nil {
		return d.full
	}
	d.writes++
	d.mounts[p.Target], d.ids[p.Target] = files, p.ID
	return nil
}

func (d *disk) Published(p volume.Place) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids[p.Target] == p.ID, nil
}

func (d *disk) Update(p volume.Place, files render.Files, purge bool) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.updates++
	switch {
	case d.full != nil:
		return false, d.full
	case d.ids[p.Target] != p.ID:
		return false, connector.ErrNotFound
	case same(d.mounts[p.Target], files):
		return false, nil
	}
	d.writes++
	if purge {
		d.purges++
	}
	d.mounts[p.Target] = files
	d.superseded = append(d.superseded, time.Now())
	return true, d.after
}

func same(a, b render.Files) bool {
	return slices.EqualFunc(a, b, func(x, y render.File) bool { return x.Path == y.Path && string(x.Data) == string(y.Data) })
}

func (d *disk) Sweep(_ volume.Place, before time.Time) (left time.Time, err error) {
	d.do(func() {
		d.sweeps++
		d.superseded = slices.DeleteFunc(d.superseded, func(at time.Time) bool { return !at.After(before) })
		if len(d.superseded) > 0 {
			left = d.superseded[0]
		}
	})
	return left, nil
}

func (d *disk) Remove(p volume.Place) (bool, error) {
	d.mu.Lock()
	wait := d.removeC
	d.mu.Unlock()
	if wait != nil {
		wait <- struct{}{}
		<-wait
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stuck != nil {
		return false, d.stuck
	}
	delete(d.mounts, p.Target)
	delete(d.ids, p.Target)
	return false, nil
}

func (d *disk) RemoveOrphan(target string) (bool, error) {
	return d.Remove(volume.Place{Target: target})
}

func (d *disk) Usage(volume.Place) (volume.Usage, error) { return volume.Usage{TotalBytes: 4096}, nil }

func (d *disk) Survey() ([]volume.Survivor, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []volume.Survivor
	for target, id := range d.ids {
		all = append(all, volume.Survivor{Target: target, ID: id, PodGone: d.podGone[target]})
	}
	return all, nil
}

// file returns the content of a file of the volume at target.
func (d *disk) file(target, path string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.mounts[target] {
		if f.Path == path {
			return string(f.Data)
		}
	}
	return ""
}

func (d *disk) counts() (writes, purges, sweeps int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes, d.purges, d.sweeps
}

// records keeps documents in memory.
type records struct {
	mu   sync.Mutex
	all  map[string][]byte
	full error // answered by Put
}

func (r *records) Put(key string, document []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full != nil {
		return r.full
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
	return maps.Clone(r.all), nil
}

func (r *records) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// cluster is what platform teams declared, who is permitted, and the provider.
type cluster struct {
	mu         sync.Mutex
	connectors map[connector.Ref]*connector.Connector
	broken     map[connector.Ref]error
	labels     map[string]map[string]string
	verdict    error // of the Authorizer
	delay      time.Duration
	refusal    error // of the provider
	calls      int
	events     []string
	audited    []audit.Record
	objects    map[string]*connector.Object
	warnings   []string // of the provider's next answers
	audiences  []string // that the issuer asks for
	tokens     []string // that it was given
}

func (c *cluster) do(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *cluster) Connector(ref connector.Ref) (*connector.Connector, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.broken[ref]; err != nil {
		return nil, err
	}
	if found := c.connectors[ref]; found != nil {
		return found, nil
	}
	return nil, connector.ErrNotFound
}

func (c *cluster) NamespaceLabels(namespace string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.labels[namespace]
}

func (c *cluster) Authorize(context.Context, connector.Subject, connector.Ref) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict
}

func (c *cluster) Object(_ context.Context, _ connector.ObjectKind, _, name string) (*connector.Object, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.objects[name]; found != nil {
		return found, nil
	}
	return nil, connector.ErrNotFound
}

func (c *cluster) Select(context.Context, connector.ObjectKind, string, connector.Selector) ([]*connector.Object, error) {
	return nil, nil
}

func (c *cluster) Event(_ connector.Subject, _ bool, reason, _ string) {
	c.do(func() { c.events = append(c.events, reason) })
}

func (c *cluster) Write(r audit.Record) {
	c.do(func() { c.audited = append(c.audited, r) })
}

func (c *cluster) callCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls
}

// declare adds a Connector, or a new generation of one.
func (c *cluster) declare(ref connector.Ref, change ...func(*connector.Connector)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := &connector.Connector{
		Ref: ref, UID: ref.String(), Generation: 1, ObjectNamespace: ref.Namespace, MaxAge: time.Hour,
		Registries: []connector.Registry{{Host: ref.Name + ".test"}},
		Issuer:     connector.IssuerConfig{Kind: "counting", Config: json.RawMessage(`{"host":"` + ref.Name + `.test"}`)},
	}
	if former := c.connectors[ref]; former != nil {
		found.Generation = former.Generation + 1
	}
	for _, f := range change {
		f(found)
	}
	c.connectors[ref] = found
}

// counting issues hour-long passwords numbered by call.
type counting struct {
	cluster *cluster
	host    string
}

type countingConfig struct {
	Host string `json:"host"`
}

func (countingConfig) Validate() error { return nil }

func (i counting) Audiences() []string {
	i.cluster.mu.Lock()
	defer i.cluster.mu.Unlock()
	return i.cluster.audiences
}

func (i counting) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	var n int
	var delay time.Duration
	var refusal error
	var warnings, tokens []string
	for _, audience := range append(i.Audiences(), "never.asked") {
		if token, err := req.Identity.Token(ctx, audience); err == nil {
			tokens = append(tokens, token.JWT.Reveal())
		}
	}
	i.cluster.do(func() {
		i.cluster.calls++
		i.cluster.tokens = tokens
		n, delay, refusal, warnings = i.cluster.calls, i.cluster.delay, i.cluster.refusal, i.cluster.warnings
	})
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if refusal != nil {
		return nil, refusal
	}
	now := time.Now()
	return &connector.Credential{
		IssuedAt: now, ExpiresAt: now.Add(time.Hour), Warnings: warnings,
		Entries: []connector.Entry{{Key: connector.Key{Host: i.host}, Username: "u", Password: connector.NewSecret(fmt.Sprint("password-", n))}},
	}, nil
}

type clients struct{}

func (clients) Client(context.Context, *connector.Connector, issuers.Objects, []string) (*http.Client, error) {
	return &http.Client{}, nil
}

// node is the core with memory around it.
type node struct {
	*volume.Manager
	cluster     *cluster
	disk        *disk
	volumes     *records
	credentials *records
	stop        func()
}

func start(t *testing.T) *node {
	n := &node{
		cluster: &cluster{
			connectors: map[connector.Ref]*connector.Connector{}, broken: map[connector.Ref]error{},
			labels: map[string]map[string]string{}, objects: map[string]*connector.Object{},
		},
		disk: newDisk(), volumes: &records{all: map[string][]byte{}}, credentials: &records{all: map[string][]byte{}},
	}
	n.cluster.declare(own)
	return n.again(t)
}

// again starts a successor on what the predecessor left.
func (n *node) again(t *testing.T) *node {
	t.Helper()
	next := *n
	measured := metrics.New(prometheus.NewRegistry(), "test")
	leases, err := credentials.New(credentials.Options{
		Definitions: []issuers.Definition{issuers.Define("counting", issuers.Docs{Sharing: connector.ShareServiceAccount}, "",
			func(c countingConfig) issuers.Issuer { return counting{n.cluster, c.Host} })},
		Objects: n.cluster, Clients: clients{}, Credentials: n.credentials, Intents: &records{all: map[string][]byte{}},
		Audit: n.cluster, Metrics: measured, NamePrefix: "test", Linger: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	next.Manager, err = volume.New(volume.Options{
		Connectors: n.cluster, Authorizer: n.cluster, Objects: n.cluster, Leases: leases, Disk: n.disk,
		Records: n.volumes, Events: n.cluster, Audit: n.cluster, Metrics: measured,
	})
	if err != nil {
		t.Fatal(err)
	}
	leases.Subscribe(next.Manager)
	if err := leases.Load(); err != nil {
		t.Fatal(err)
	}
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	below, cancelBelow := context.WithCancel(t.Context())
	var above, beneath sync.WaitGroup
	above.Go(func() { _ = next.Run(ctx) })
	beneath.Go(func() { _ = leases.Run(below) })
	var once sync.Once
	next.stop = func() {
		once.Do(func() {
			cancel()
			above.Wait()
			cancelBelow()
			beneath.Wait()
		})
	}
	t.Cleanup(next.stop)
	synctest.Wait()
	return &next
}

var own = connector.Ref{Namespace: "ci", Name: "reg"}

// spec asks for the connectors as a pod of namespace ci writes them.
func spec(t *testing.T, id, connectors string) volume.Spec {
	t.Helper()
	attributes, err := volume.ParseAttributes(map[string]string{"connectors": connectors}, "ci")
	if err != nil {
		t.Fatal(err)
	}
	return volume.Spec{
		Place:      volume.Place{ID: id, Target: "/pods/" + id, FileMode: 0o444},
		Subject:    connector.Subject{Namespace: "ci", ServiceAccount: "builder", Pod: id, PodUID: "uid-" + id},
		Attributes: attributes,
	}
}

// shown returns the password that the volume's config.json holds for a host.
func (n *node) shown(id, host string) string {
	var config struct {
		Auths map[string]struct{ Auth []byte }
	}
	if err := json.Unmarshal([]byte(n.disk.file("/pods/"+id, "config.json")), &config); err != nil {
		return ""
	}
	_, password, _ := strings.Cut(string(config.Auths[host].Auth), ":")
	return password
}
