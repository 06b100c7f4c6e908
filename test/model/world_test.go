package model

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// link is a Connector of the world, as far as it never changes.
type link struct {
	name    string // as pods of namespace ci write it
	ref     connector.Ref
	kind    string
	sharing connector.Sharing
	life    time.Duration
	endless bool // the life is the Connector's maxAge, and the provider states none
}

// The kinds of issuers beside the real secret one.
const (
	kindObject = "object" // makes objects that live until they are revoked
	kindToken  = "token"  // makes what nobody can take back
)

// own is the namespace of all pods.
const own = "ci"

var links = []link{
	{"object", connector.Ref{Namespace: own, Name: "object"}, kindObject, connector.ShareServiceAccount, time.Hour, false},
	{"token", connector.Ref{Namespace: own, Name: "token"}, kindToken, connector.ShareServiceAccount, 10 * time.Minute, false},
	{"stored", connector.Ref{Namespace: own, Name: "stored"}, secret.Kind, connector.ShareConnector, 0, false},
	{"team/pods", connector.Ref{Namespace: "team", Name: "pods"}, kindObject, connector.SharePod, 30 * time.Minute, false},
	{"cluster:shared", connector.Ref{Name: "shared"}, kindObject, connector.ShareConnector, 40 * time.Minute, true},
}

func linkOf(name string) int {
	return slices.IndexFunc(links, func(l link) bool { return l.name == name })
}

func linkAt(ref connector.Ref) int {
	return slices.IndexFunc(links, func(l link) bool { return l.ref == ref })
}

func (l link) host() string { return l.ref.Name + ".test" }

// objects is the namespace of what the Connector names.
func (l link) objects() string { return cmp.Or(l.ref.Namespace, own) }

// mirror is the host of the one mirror that a revision of the entry names.
func (l link) mirror(revision int) string {
	return fmt.Sprintf("%s-mirror-%d.test", l.ref.Name, revision)
}

// foreign links need a permission beside the owner's consent.
func (l link) foreign() bool { return l.ref.Namespace != own }

// accounts are the ServiceAccounts of the pods.
var accounts = []string{"a", "b"}

// overlap is what every Connector says; linger is the driver's.
const (
	overlap = 5 * time.Minute
	linger  = 2 * time.Minute
)

// world is what platform teams declared, who is permitted, and the Secret.
type world struct {
	mu       sync.Mutex
	declared []*declared
	secret   int       // version of the Secret; zero = there is none
	secrets  int       // versions so far
	ca       int       // version of the ConfigMap with the private CA; zero = there is none
	cas      int       // versions so far
	noCA     time.Time // when there last was none
	gone     time.Time
	// ill is when something was last not well for the pods of a
	// ServiceAccount, by link: from then on it takes its time to heal.
	ill []map[string]time.Time
}

// declared is one manifest.
type declared struct {
	state      string // "", missing, broken
	uid        int
	generation int64
	edition    int  // of the issuer's configuration
	revision   int  // of the registry's entry
	trusts     bool // the private CA
	trusted    bool // some generation did
	aged       bool
	open       []string          // ServiceAccounts that may
	permit     map[string]string // verdict by ServiceAccount
	denied     map[string]time.Time
	missing    time.Time // since when it is gone
	mode       string    // of the provider
	asked      time.Time // when a publish last named it
	cut        time.Time // when somebody was last not admitted
	rough      time.Time // when the provider last was not well
	hung       time.Time // when it last did not answer
	pressed    time.Time // when a pod last needed more than half of a life
}

func newWorld() *world {
	w := &world{secret: 1, secrets: 1, ca: 1, cas: 1}
	for range links {
		w.declared = append(w.declared, &declared{
			uid: 1, generation: 1, edition: 1, open: accounts, mode: "up",
			permit: map[string]string{"a": "allowed", "b": "allowed"}, denied: map[string]time.Time{},
		})
		w.ill = append(w.ill, map[string]time.Time{"a": {}, "b": {}})
	}
	return w
}

// generation is the manifest as the driver's source gives it.
func (w *world) manifest(i int) *connector.Connector {
	l, d := links[i], w.declared[i]
	config := fmt.Sprintf(`{"link":%d,"edition":%d}`, i, d.edition)
	if l.kind == secret.Kind {
		config = `{"name":"pull"}`
		if d.edition%2 == 0 {
			config = `{"name":"pull","requireSingleEntry":true}`
		}
	}
	c := &connector.Connector{
		Ref: l.ref, UID: strconv.Itoa(d.uid), Generation: d.generation, ObjectNamespace: l.objects(),
		Registries: []connector.Registry{{Host: l.host()}},
		Access:     []connector.Peer{{Namespaces: []string{own}, ServiceAccounts: d.open}},
		Sharing:    l.sharing, Overlap: overlap,
		Issuer: connector.IssuerConfig{Kind: l.kind, Config: json.RawMessage(config)},
	}
	if len(d.open) == 0 {
		c.Access = []connector.Peer{}
	}
	if d.revision > 0 {
		c.Registries[0].Mirrors = []string{"https://" + l.mirror(d.revision)}
	}
	if d.trusts {
		c.Registries[0].TLS.CAConfigMap = &connector.ObjectKey{Name: "ca", Key: "ca.crt"}
	}
	switch {
	case d.aged:
		c.MaxAge = l.life * 2 / 3
	case l.endless:
		c.MaxAge = l.life
	}
	return c
}

// Connector implements volume.Connectors.
func (w *world) Connector(ref connector.Ref) (*connector.Connector, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := linkAt(ref)
	switch {
	case i < 0 || w.declared[i].state == "missing":
		return nil, connector.Errorf(connector.ErrNotFound, "%s does not exist", ref)
	case w.declared[i].state == "broken":
		return nil, connector.Errorf(connector.ErrPrecondition, "%s is not valid", ref)
	}
	return w.manifest(i), nil
}

// NamespaceLabels implements volume.Connectors.
func (*world) NamespaceLabels(string) map[string]string { return nil }

// Authorize implements volume.Authorizer.
func (w *world) Authorize(_ context.Context, s connector.Subject, ref connector.Ref) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := linkAt(ref)
	switch w.declared[i].permit[s.ServiceAccount] {
	case "denied":
		return connector.Errorf(connector.ErrDenied, "no")
	case "unknown":
		return connector.Errorf(connector.ErrUnavailable, "nobody can tell")
	}
	return nil
}

// Object implements Objects of volume and of credentials.
func (w *world) Object(_ context.Context, kind connector.ObjectKind, namespace, name string) (*connector.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind == connector.KindConfigMap && name == "ca" && w.ca != 0 {
		return &connector.Object{
			Kind: kind, Namespace: namespace, Name: name, Version: strconv.Itoa(w.ca),
			Data: map[string]connector.Secret{"ca.crt": connector.NewSecret(authority(w.ca))},
		}, nil
	}
	if kind != connector.KindSecret || namespace != own || name != "pull" || w.secret == 0 {
		return nil, connector.Errorf(connector.ErrNotFound, "%s %s/%s does not exist", kind, namespace, name)
	}
	return &connector.Object{
		Kind: kind, Namespace: namespace, Name: name, Type: "kubernetes.io/basic-auth", Version: strconv.Itoa(w.secret),
		Data: map[string]connector.Secret{"username": connector.NewSecret("u"), "password": connector.NewSecret(storedPassword(w.secret))},
	}, nil
}

func storedPassword(version int) string { return fmt.Sprintf("stored-%d", version) }

// Select implements credentials.Objects.
func (*world) Select(context.Context, connector.ObjectKind, string, connector.Selector) ([]*connector.Object, error) {
	return nil, nil
}

// Client implements credentials.Clients: the providers are called directly.
func (*world) Client(context.Context, *connector.Connector, issuers.Objects, []string) (*http.Client, error) {
	return &http.Client{}, nil
}

// Event implements volume.Events.
func (*world) Event(connector.Subject, bool, string, string) {}

// Write implements the audit log.
func (*world) Write(audit.Record) {}

// mode is how a provider behaves now.
func (w *world) mode(i int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.declared[i].mode
}

// What the source tells. Each namespace has a copy of the CA.
var (
	secretChanged = connector.Change{Kind: connector.ChangedSecret, Namespace: own, Name: "pull"}
	caChanged     = []connector.Change{
		{Kind: connector.ChangedConfigMap, Namespace: own, Name: "ca"},
		{Kind: connector.ChangedConfigMap, Namespace: "team", Name: "ca"},
	}
)

func (l link) changed() connector.Change {
	return connector.Change{Kind: connector.ChangedConnector, Namespace: l.ref.Namespace, Name: l.ref.Name}
}

// alter does what a step says and returns what the source tells of it.
func (w *world) alter(s step) (told []connector.Change, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.diagnose()
	if s.words[0] == "secret" {
		w.alterSecret(s.words[1])
		return []connector.Change{secretChanged}, nil
	}
	if s.words[0] == "ca" {
		w.alterCA(s.words[1])
		return caChanged, nil
	}
	i := linkOf(s.words[1])
	if i < 0 {
		return nil, fmt.Errorf("step %q names no link", s)
	}
	d := w.declared[i]
	told = []connector.Change{links[i].changed()}
	switch s.words[0] {
	case "provider":
		d.mode = s.words[2]
		return nil, nil
	case "permit":
		account, verdict := s.words[2], s.words[3]
		if d.permit[account] != verdict {
			d.denied[account] = time.Now()
		}
		d.permit[account] = verdict
		return nil, nil
	case "access":
		d.generation++
		d.open = map[string][]string{"all": accounts, "none": {}, "a": {"a"}, "b": {"b"}}[s.words[2]]
		return told, nil
	case "connector":
		return told, w.alterConnector(d, s.words[2])
	}
	return nil, fmt.Errorf("step %q is unknown", s)
}

func (w *world) alterSecret(how string) {
	if how == "delete" {
		if w.secret != 0 {
			w.gone = time.Now()
		}
		w.secret = 0
		return
	}
	w.secrets++
	w.secret = w.secrets
}

func (w *world) alterCA(how string) {
	if how == "delete" {
		w.ca = 0
		return
	}
	w.cas++
	w.ca = w.cas
}

func (w *world) alterConnector(d *declared, how string) error {
	there := d.state == ""
	switch how {
	case "touch": // a generation that asks for the same credential
		if there {
			d.generation++
			d.aged = !d.aged
		}
	case "change": // one that asks for another
		if there {
			d.generation++
			d.edition++
		}
	case "mirror": // the same issuer, and another entry for the registry
		if there {
			d.generation++
			d.revision++
		}
	case "trust":
		if there {
			d.generation++
			d.revision++
			d.trusts, d.trusted = !d.trusts, true
		}
	case "delete":
		if there {
			d.missing = time.Now()
		}
		d.state = "missing"
	case "restore":
		d.state = ""
		d.generation++
	case "recreate":
		d.state = ""
		d.uid++
		d.generation = 1
	case "invalid": // the last valid generation stays in force
	case "break":
		if !there {
			d.state = "broken"
		}
	default:
		return fmt.Errorf("a connector cannot %q", how)
	}
	return nil
}

// well reports whether pods of an account get a credential at once.
func (w *world) well(i int, account string) bool {
	d := w.declared[i]
	return d.state == "" && slices.Contains(d.open, account) && (!links[i].foreign() || d.permit[account] == "allowed") &&
		d.mode == "up" && (links[i].kind != secret.Kind || w.secret != 0) && (!d.trusts || w.ca != 0)
}

// shape is everything of a manifest that makes its credentials others.
func (d *declared) shape() string { return shape(d.edition, d.revision) }

func shape(edition, revision int) string { return fmt.Sprintf("edition %d.%d", edition, revision) }

// excludes reports whether somebody is not admitted.
func (d *declared) excludes() bool {
	return len(d.open) < len(accounts) || d.permit["a"] != "allowed" || d.permit["b"] != "allowed"
}

// diagnose notes what is not well now. The caller holds the lock.
func (w *world) diagnose() {
	if w.ca == 0 {
		w.noCA = time.Now()
	}
	for i, d := range w.declared {
		if d.mode != "up" {
			d.rough = time.Now()
		}
		if d.mode == "stuck" {
			d.hung = time.Now()
		}
		if d.excludes() {
			d.cut = time.Now()
		}
		for _, account := range accounts {
			if !w.well(i, account) {
				w.ill[i][account] = time.Now()
			}
		}
	}
}

// blind reports whether the private CA is missing.
func (w *world) blind() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ca == 0
}

// sicken notes that something went wrong beside what the world shows.
func (w *world) sicken() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range links {
		for _, account := range accounts {
			w.ill[i][account] = time.Now()
		}
	}
}

// heal makes everything well again.
func (w *world) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diagnose()
	for _, d := range w.declared {
		d.state, d.mode, d.open = "", "up", accounts
		d.permit = map[string]string{"a": "allowed", "b": "allowed"}
	}
	w.alterSecret("change")
	w.alterCA("change")
}

// refused returns the class of error with which a publish of these links has
// to fail, nil when nothing forbids it.
func (w *world) refused(uses []int, account string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range uses {
		l, d := links[i], w.declared[i]
		switch {
		case d.state != "" && l.foreign():
			return connector.ErrDenied // as if it did not consent
		case d.state == "missing":
			return connector.ErrNotFound
		case d.state == "broken":
			return connector.ErrPrecondition
		case !slices.Contains(d.open, account):
			return connector.ErrDenied
		case l.foreign() && d.permit[account] == "denied":
			return connector.ErrDenied
		case l.foreign() && d.permit[account] == "unknown":
			return connector.ErrUnavailable
		}
	}
	return nil
}

// ask notes that a publish names links: their credentials linger anew.
func (w *world) ask(of wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range of.uses {
		w.declared[i].asked = time.Now()
	}
	w.press(of)
}

// press notes which links a pod asks for longer lives than most do: a
// credential that is good enough for others is replaced for it. The caller
// holds the lock.
func (w *world) press(of wish) {
	for _, i := range of.uses {
		if life := of.life(i); life != 0 && of.minimum > life/2 {
			w.declared[i].pressed = time.Now()
		}
	}
}

// pressed reports whether a credential may just have been replaced for a pod
// that needs a longer life.
func (w *world) pressed(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	pressed := w.declared[i].pressed
	return !pressed.IsZero() && time.Since(pressed) < piece+time.Minute
}

// cutOff reports whether a pod may just have lost the use of a link, so that
// the others get another credential.
func (w *world) cutOff(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.declared[i]
	return d.excludes() || (!d.cut.IsZero() && time.Since(d.cut) < denial+time.Minute)
}

// rough reports whether the provider of a link was not well lately, or any
// provider hung, which delays the revocations of the others too. The caller
// holds the lock.
func (w *world) rough(i int, now time.Time) bool {
	lately := func(t time.Time) bool { return !t.IsZero() && now.Sub(t) < recovery }
	return lately(w.declared[i].rough) || slices.ContainsFunc(w.declared, func(d *declared) bool { return lately(d.hung) })
}
