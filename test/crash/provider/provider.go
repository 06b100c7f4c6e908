// Package provider is a provider of registry logins that makes an object for
// each of them and keeps books: who asked for what, and what was deleted. It
// serves in the test's process, so the books outlive the driver. The package
// also has the issuer that speaks to it.
package provider

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Object is one login that was made.
type Object struct {
	Name     string // given by the driver
	Handle   string // given by the provider
	For      string // the pod or ServiceAccount, as the driver tells it
	Password string
	Account  string // what the Connector's Secret held when it was made
	Made     time.Time
	Ends     time.Time
	Deleted  time.Time // zero = it lives
}

// Provider is a running provider.
type Provider struct {
	server *http.Server
	host   string

	mu       sync.Mutex
	objects  []*Object
	byName   map[string]*Object
	mistakes []string
	receipt  func(Object)
}

// Start serves on a free port of the loopback interface.
func Start() (*Provider, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Provider{host: listener.Addr().String(), byName: map[string]*Object{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /objects", p.create)
	mux.HandleFunc("DELETE /objects/{handle}", p.deleteByHandle)
	mux.HandleFunc("DELETE /objects", p.deleteByName)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }() // ends with Close
	return p, nil
}

// Close ends it.
func (p *Provider) Close() error { return p.server.Close() }

// Host is where it listens.
func (p *Provider) Host() string { return p.host }

// OnReceipt has f called once an object is made and before the answer goes out;
// nil ends that.
func (p *Provider) OnReceipt(f func(Object)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receipt = f
}

// Objects are all that were ever made, in order.
func (p *Provider) Objects() []Object {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Object, len(p.objects))
	for i, o := range p.objects {
		all[i] = *o
	}
	return all
}

// Living are the objects that nobody deleted.
func (p *Provider) Living() []Object {
	return slices.DeleteFunc(p.Objects(), func(o Object) bool { return !o.Deleted.IsZero() })
}

// Find returns the object behind a login.
func (p *Provider) Find(name, password string) (Object, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.byName[name]; o != nil && o.Password == password {
		return *o, true
	}
	return Object{}, false
}

// Of are the objects that were made for a pod, in order.
func (p *Provider) Of(pod string) []Object {
	return slices.DeleteFunc(p.Objects(), func(o Object) bool { return o.For != pod })
}

// Mistakes are the requests that no driver may send, in words.
func (p *Provider) Mistakes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mistakes)
}

// order asks for an object.
type order struct {
	Name    string        `json:"name"`
	For     string        `json:"for"`
	Account string        `json:"account"`
	Life    time.Duration `json:"life"`
}

// answer is the object, with its login.
type answer struct {
	Handle   string    `json:"handle"`
	Password string    `json:"password"`
	Ends     time.Time `json:"ends"`
}

// defaultLife is how long an object lives that nobody wished a life for.
const defaultLife = time.Hour

func (p *Provider) create(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Name == "" || o.For == "" {
		p.mistake(w, "an object without a name or a holder is ordered: %+v, %v", o, err)
		return
	}
	if o.Life == 0 {
		o.Life = defaultLife
	}
	now := time.Now().UTC()
	made := &Object{
		Name: o.Name, Handle: "h-" + rand.Text(), For: o.For, Account: o.Account,
		Password: rand.Text() + rand.Text() + rand.Text(), Made: now, Ends: now.Add(o.Life),
	}
	p.mu.Lock()
	_, known := p.byName[o.Name]
	if !known {
		p.objects = append(p.objects, made)
		p.byName[o.Name] = made
	}
	receipt, result := p.receipt, *made
	p.mu.Unlock()
	if known {
		p.mistake(w, "the name %s is ordered a second time", o.Name)
		return
	}
	if receipt != nil {
		receipt(result)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer{Handle: result.Handle, Password: result.Password, Ends: result.Ends}) // the driver may be dead
}

func (p *Provider) deleteByHandle(w http.ResponseWriter, r *http.Request) {
	p.delete(w, func(o *Object) bool { return o.Handle == r.PathValue("handle") })
}

func (p *Provider) deleteByName(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" {
		p.mistake(w, "an object is to be deleted, and neither handle nor name is given")
		return
	}
	p.delete(w, func(o *Object) bool { return o.Name == name })
}

// delete answers 404 for what does not exist, and for what did: a driver that
// was killed before it heard the answer asks again.
func (p *Provider) delete(w http.ResponseWriter, is func(*Object) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.objects, is); i >= 0 && p.objects[i].Deleted.IsZero() {
		p.objects[i].Deleted = time.Now().UTC()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

func (p *Provider) mistake(w http.ResponseWriter, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mistakes = append(p.mistakes, fmt.Sprintf(format, args...))
	http.Error(w, "a mistake", http.StatusBadRequest)
}
