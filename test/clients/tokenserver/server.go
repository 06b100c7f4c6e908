// Package tokenserver is a small server for CNCF distribution token
// authentication: GET with Basic credentials, POST with a password or a
// refresh token, tokens signed with RS256. Like the real ones it answers 200
// with less than what was asked, and refuses what they refuse. Its clock runs
// in seconds where theirs run in minutes.
package tokenserver

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Config is what the registry must be told as well, and the first life.
type Config struct {
	Issuer  string
	Service string
	// Life is how long tokens live; SetLife changes it.
	Life time.Duration
}

// Server is an http.Handler for the realm. Its settings may be changed while
// it serves.
type Server struct {
	config Config
	signer jose.Signer
	jwks   []byte

	mu       sync.Mutex
	changed  chan struct{} // closed, and replaced, at every change of what follows
	life     time.Duration
	users    map[string]*user
	refresh  map[string]string // refresh token → user
	hold     chan struct{}     // requests wait until it is closed; nil = no wait
	failure  *failure
	only     string // method; empty = both
	requests int
	issued   []Token
}

type user struct {
	password string
	grants   map[string][]string // repository → actions
}

type failure struct {
	status int
	header http.Header
	body   string
}

// Token is one that the server has issued.
type Token struct {
	User      string
	Raw       string
	Access    []Access
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// Access is what a token allows on one repository.
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// New makes a server with a fresh key and no users.
func New(config Config) (*Server, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	private := jose.JSONWebKey{Key: key, KeyID: id, Algorithm: string(jose.RS256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: private}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("making the signer: %w", err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}})
	if err != nil {
		return nil, err
	}
	return &Server{
		config: config, signer: signer, jwks: jwks, life: config.Life,
		changed: make(chan struct{}), users: map[string]*user{}, refresh: map[string]string{},
	}, nil
}

// JWKS is the key set with which tokens are verified.
func (s *Server) JWKS() []byte { return s.jwks }

// Config is what New was given.
func (s *Server) Config() Config { return s.config }

// SetPassword adds a user or changes the password. Refresh tokens of the old
// password stay valid, as at most real servers.
func (s *Server) SetPassword(name, password string) {
	s.change(func() {
		if s.users[name] == nil {
			s.users[name] = &user{grants: map[string][]string{}}
		}
		s.users[name].password = password
	})
}

// Grant sets what a user may do with a repository; no actions take all away.
func (s *Server) Grant(name, repository string, actions ...string) {
	s.change(func() { s.users[name].grants[repository] = actions })
}

// SetLife changes how long new tokens live.
func (s *Server) SetLife(life time.Duration) { s.change(func() { s.life = life }) }

// Only answers 405 to every method but one: real servers know GET, POST or
// both.
func (s *Server) Only(method string) { s.change(func() { s.only = method }) }

// Hold keeps every request waiting, as an overloaded provider does, until
// release is called.
func (s *Server) Hold() (release func()) {
	gate := make(chan struct{})
	s.change(func() { s.hold = gate })
	return sync.OnceFunc(func() {
		s.change(func() { s.hold = nil })
		close(gate)
	})
}

// Fail answers every request in one way until restore is called.
func (s *Server) Fail(status int, header http.Header, body string) (restore func()) {
	s.change(func() { s.failure = &failure{status: status, header: header, body: body} })
	return func() { s.change(func() { s.failure = nil }) }
}

// Requests counts the requests that arrived.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Issued lists the tokens that were issued, oldest first.
func (s *Server) Issued() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.issued)
}

// Await returns when the server's counts satisfy the condition.
func (s *Server) Await(ctx context.Context, what string, condition func(requests int, issued []Token) bool) error {
	for {
		s.mu.Lock()
		met, changed := condition(s.requests, s.issued), s.changed
		s.mu.Unlock()
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s at the token server: %w", what, context.Cause(ctx))
		case <-changed:
		}
	}
}

// change runs set under the lock and wakes who awaits.
func (s *Server) change(set func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set()
	close(s.changed)
	s.changed = make(chan struct{})
}

// grants copies what a user may do.
func (s *Server) grants(name string) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users[name] == nil {
		return nil
	}
	return maps.Clone(s.users[name].grants)
}
