package tokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"
)

const life = 7 * time.Second

func newServer(t *testing.T) *Server {
	t.Helper()
	s, err := New(Config{Issuer: "tokens.test", Service: "registry.test", Life: life})
	if err != nil {
		t.Fatal(err)
	}
	s.SetPassword("robot", "right")
	s.Grant("robot", "team/app", "pull", "push")
	s.Grant("robot", "team/base", "pull")
	return s
}

func get(user, password string, query url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/token?"+query.Encode(), nil)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return r
}

func post(form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func send(s *Server, r *http.Request) (int, answer) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var a answer
	_ = json.Unmarshal(w.Body.Bytes(), &a) // a refusal is no answer
	return w.Code, a
}

func TestAccessIsTheIntersection(t *testing.T) {
	asked := []string{"repository:team/app:pull,push", "repository:team/base:pull,push", "repository:team/secret:pull", "registry:catalog:*"}
	want := []Access{
		{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}},
		{Type: "repository", Name: "team/base", Actions: []string{"pull"}},
	}
	for name, request := range map[string]*http.Request{
		"GET": get("robot", "right", url.Values{"service": {"registry.test"}, "scope": asked}),
		"POST": post(url.Values{
			"grant_type": {"password"}, "service": {"registry.test"}, "client_id": {"test"},
			"username": {"robot"}, "password": {"right"}, "scope": {strings.Join(asked, " ")},
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			status, a := send(s, request)
			if status != http.StatusOK || a.ExpiresIn != int(life.Seconds()) {
				t.Fatalf("status %d, expires_in %d", status, a.ExpiresIn)
			}
			var keys jose.JSONWebKeySet
			if err := json.Unmarshal(s.JWKS(), &keys); err != nil {
				t.Fatal(err)
			}
			token, err := jwt.ParseSigned(a.AccessToken, []jose.SignatureAlgorithm{jose.RS256})
			if err != nil {
				t.Fatal(err)
			}
			var got claims
			if err := token.Claims(keys, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Access); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
			if got := got.Expiry.Time().Sub(got.IssuedAt.Time()); got != life {
				t.Errorf("the token lives for %s, want %s", got, life)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	good := func(change func(url.Values)) url.Values {
		form := url.Values{"grant_type": {"password"}, "service": {"registry.test"}, "client_id": {"test"}, "username": {"robot"}, "password": {"right"}}
		change(form)
		return form
	}
	jsonBody := post(good(func(url.Values) {}))
	jsonBody.Header.Set("Content-Type", "application/json")
	service := url.Values{"service": {"registry.test"}}
	for name, tt := range map[string]struct {
		request *http.Request
		want    int
	}{
		"GET, wrong password":    {get("robot", "wrong", service), http.StatusUnauthorized},
		"GET, unknown user":      {get("nobody", "", service), http.StatusUnauthorized},
		"GET, anonymous":         {get("", "", service), http.StatusUnauthorized},
		"GET, wrong service":     {get("robot", "right", url.Values{"service": {"other.test"}}), http.StatusBadRequest},
		"GET, malformed scope":   {get("robot", "right", url.Values{"service": {"registry.test"}, "scope": {"team/app"}}), http.StatusBadRequest},
		"POST, wrong password":   {post(good(func(f url.Values) { f.Set("password", "wrong") })), http.StatusUnauthorized},
		"POST, unknown grant":    {post(good(func(f url.Values) { f.Set("grant_type", "magic") })), http.StatusBadRequest},
		"POST, unknown refresh":  {post(good(func(f url.Values) { f.Set("grant_type", "refresh_token") })), http.StatusUnauthorized},
		"POST, no client_id":     {post(good(func(f url.Values) { f.Del("client_id") })), http.StatusBadRequest},
		"POST, wrong media type": {jsonBody, http.StatusBadRequest},
		"PUT":                    {httptest.NewRequest(http.MethodPut, "/token", nil), http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			if status, _ := send(s, tt.request); status != tt.want {
				t.Errorf("status %d, want %d", status, tt.want)
			}
			if issued := s.Issued(); len(issued) != 0 {
				t.Errorf("%d tokens were issued", len(issued))
			}
		})
	}
}

func TestRefreshTokenOutlivesThePassword(t *testing.T) {
	s := newServer(t)
	_, first := send(s, get("robot", "right", url.Values{"service": {"registry.test"}, "offline_token": {"true"}}))
	s.SetPassword("robot", "changed")
	status, second := send(s, post(url.Values{
		"grant_type": {"refresh_token"}, "service": {"registry.test"}, "client_id": {"test"},
		"refresh_token": {first.RefreshToken}, "scope": {"repository:team/base:pull"},
	}))
	if status != http.StatusOK || second.Scope != "repository:team/base:pull" || second.RefreshToken != first.RefreshToken {
		t.Errorf("status %d, scope %q", status, second.Scope)
	}
}

func TestHeldRequestsWait(t *testing.T) {
	s := newServer(t)
	release := s.Hold()
	done := make(chan int)
	go func() {
		status, _ := send(s, get("robot", "right", url.Values{"service": {"registry.test"}}))
		done <- status
	}()
	if err := s.Await(t.Context(), "a request", func(requests int, _ []Token) bool { return requests == 1 }); err != nil {
		t.Fatal(err)
	}
	if issued := len(s.Issued()); issued != 0 {
		t.Fatalf("%d tokens were issued while requests are held", issued)
	}
	release()
	if status := <-done; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

func TestFailures(t *testing.T) {
	s := newServer(t)
	request := get("robot", "right", url.Values{"service": {"registry.test"}})
	restore := s.Fail(http.StatusTooManyRequests, http.Header{"Retry-After": {"3"}}, "slow down")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, request)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "3" || w.Body.String() != "slow down" {
		t.Errorf("got %d %v %q", w.Code, w.Header(), w.Body)
	}
	restore()
	if status, _ := send(s, request); status != http.StatusOK {
		t.Errorf("status %d after the failure", status)
	}
	s.Only(http.MethodGet)
	if status, _ := send(s, post(nil)); status != http.StatusMethodNotAllowed {
		t.Errorf("POST gives %d", status)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := s.Await(ended, "the impossible", func(int, []Token) bool { return false }); !errors.Is(err, cause) {
		t.Errorf("Await: %v", err)
	}
}
