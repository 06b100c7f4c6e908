// Package provider is a registry with token authentication on loopback: the
// challenge of /v2/ and the token server that it names
// (https://distribution.github.io/distribution/spec/auth/token/). It verifies
// the login, counts, remembers what it was shown, and misbehaves as told.
package provider

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const service = "provider"

// Provider is one registry with its token server.
type Provider struct {
	server *httptest.Server

	mu       sync.Mutex
	login    url.Userinfo
	life     time.Duration
	lives    map[string]time.Duration
	mint     func(n int, ends time.Time) string
	refresh  string
	answer   func(http.ResponseWriter, *http.Request) bool
	issued   []Token
	arrivals []Arrival
	shown    []string
}

// Arrival is a request for a token.
type Arrival struct {
	At     time.Time
	Client string // its client_id
}

// Token is one that was given out.
type Token struct {
	Text string
	Ends time.Time
}

// Options are what a provider begins with.
type Options struct {
	User, Password string
	// Life is how long tokens live; Lives says it for single clients by their
	// client_id.
	Life  time.Duration
	Lives map[string]time.Duration
	// Mint makes the text of the n-th token, from 1. The default says when it
	// ends, see Ends.
	Mint func(n int, ends time.Time) string
	// Refresh is the refresh token that is given to who asks for one.
	Refresh string
}

// Start serves until Close.
func Start(o Options) *Provider {
	p := &Provider{login: *url.UserPassword(o.User, o.Password), life: o.Life, lives: o.Lives, mint: o.Mint, refresh: o.Refresh}
	if p.mint == nil {
		p.mint = func(n int, ends time.Time) string { return fmt.Sprintf("token.%d.%d", n, ends.UnixMilli()) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/", p.challenge)
	mux.HandleFunc("/token", p.token)
	p.server = httptest.NewServer(mux)
	return p
}

// Ends reads from a token of the default form when it ends.
func Ends(text string) (time.Time, error) {
	var n, ends int64
	if _, err := fmt.Sscanf(text, "token.%d.%d", &n, &ends); err != nil {
		return time.Time{}, fmt.Errorf("%q is not a whole token: %w", text, err)
	}
	return time.UnixMilli(ends), nil
}

// Close ends the server and every connection.
func (p *Provider) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
}

// Host is where the registry listens: 127.0.0.1:PORT.
func (p *Provider) Host() string { return strings.TrimPrefix(p.server.URL, "http://") }

// Answer has requests for a token answered in another way, until it is called
// with nil; those for which answer is false go the usual way.
func (p *Provider) Answer(answer func(http.ResponseWriter, *http.Request) bool) {
	p.set(func() { p.answer = answer })
}

// SetPassword changes the password that is accepted.
func (p *Provider) SetPassword(password string) {
	p.set(func() { p.login = *url.UserPassword(p.login.Username(), password) })
}

// Issued lists the tokens that were given out, oldest first.
func (p *Provider) Issued() []Token {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.issued)
}

// Arrivals lists the requests for a token, oldest first.
func (p *Provider) Arrivals() []Arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.arrivals)
}

// Shown lists every login that reached the token server, as it was sent.
func (p *Provider) Shown() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.shown)
}

func (p *Provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *Provider) challenge(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="%s"`, p.server.URL, service))
	w.WriteHeader(http.StatusUnauthorized)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	form, _ := url.ParseQuery(string(body)) // a malformed one holds no login
	shown := r.Header.Get("Authorization")
	if password := form.Get("password") + form.Get("refresh_token"); password != "" {
		shown = password
	}
	p.mu.Lock()
	p.arrivals = append(p.arrivals, Arrival{time.Now(), client(r, form)})
	p.shown = append(p.shown, shown)
	answer := p.answer
	p.mu.Unlock()
	if answer != nil {
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if answer(w, r) {
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if !p.knows(r, form) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		return
	}
	_ = json.NewEncoder(w).Encode(p.issue(client(r, form), r.URL.Query(), form)) // the client may have gone
}

// knows verifies the login, whichever way it came.
func (p *Provider) knows(r *http.Request, form url.Values) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	want, _ := p.login.Password()
	switch user, password, basic := r.BasicAuth(); {
	case form.Get("grant_type") == "refresh_token":
		return p.refresh != "" && form.Get("refresh_token") == p.refresh
	case form.Get("grant_type") == "password":
		return form.Get("username") == p.login.Username() && form.Get("password") == want
	default:
		return basic && user == p.login.Username() && password == want
	}
}

func client(r *http.Request, form url.Values) string {
	return cmp.Or(r.URL.Query().Get("client_id"), form.Get("client_id"))
}

type reply struct {
	Token     string  `json:"token"`
	Access    string  `json:"access_token"`
	Scope     string  `json:"scope"`
	ExpiresIn float64 `json:"expires_in"`
	Refresh   string  `json:"refresh_token,omitempty"`
}

func (p *Provider) issue(client string, query, form url.Values) reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	life := cmp.Or(p.lives[client], p.life)
	ends := time.Now().Add(life)
	text := p.mint(len(p.issued)+1, ends)
	p.issued = append(p.issued, Token{Text: text, Ends: ends})
	asked := slices.Concat(query["scope"], strings.Fields(form.Get("scope")))
	answer := reply{Token: text, Access: text, ExpiresIn: life.Seconds(), Scope: strings.Join(asked, " ")}
	if query.Get("offline_token") == "true" || form.Get("access_type") == "offline" {
		answer.Refresh = p.refresh
	}
	return answer
}
