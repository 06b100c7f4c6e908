package issuertest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func always(*stage) bool          { return true }
func callsProvider(s *stage) bool { return s.Server != nil }
func needsToken(s *stage) bool    { return len(s.issuer.Audiences()) > 0 }
func expires(s *stage) bool       { return s.Life > 0 }

func scopes(s *stage) bool {
	scoper, ok := s.issuer.(issuers.Scoper)
	if !ok {
		return false
	}
	_, grain := scoper.Scope(s.Scope)
	return connector.GrainIdentity.Coarser(grain)
}

func revokes(s *stage) bool {
	_, ok := s.issuer.(issuers.Revoker)
	return ok
}

func happyPath(t *testing.T, s *stage) {
	before := time.Now()
	c := s.good(t)
	if len(c.Entries) == 0 {
		t.Fatal("the credential has no entry")
	}
	for _, e := range c.Entries {
		forms := 0
		for _, set := range []bool{!e.Password.IsZero(), !e.IdentityToken.IsZero(), !e.RegistryToken.IsZero(), e.Anonymous} {
			if set {
				forms++
			}
		}
		if forms != 1 {
			t.Errorf("entry for %s has %d forms, want 1", e.Key, forms)
		}
		if e.Key.Host == "" {
			t.Error("an entry has no host")
		}
	}
	if c.IssuedAt.IsZero() || c.IssuedAt.After(time.Now()) || before.Sub(c.IssuedAt) > 24*time.Hour {
		t.Errorf("IssuedAt is %s", c.IssuedAt)
	}
	if c.ID != "" {
		t.Errorf("ID is %q, which is the core's to set", c.ID)
	}
	if s.Life == 0 && !c.ExpiresAt.IsZero() {
		t.Errorf("ExpiresAt is %s, yet the Scene has no Life", c.ExpiresAt)
	}
	longLiver, ok := s.issuer.(issuers.LongLiver)
	if ok && longLiver.LongLived() && !c.LongLived {
		t.Error("the issuer says that it is long-lived, its credential does not")
	}
	if s.Accepts == nil {
		t.Fatal("the Scene has no Accepts: nothing proves the credential")
	}
	s.Accepts(t, c)
}

func expiry(t *testing.T, s *stage) {
	before := time.Now()
	c := s.good(t)
	// Providers state whole seconds.
	if at := c.ExpiresAt; at.Before(before.Add(s.Life-2*time.Second)) || at.After(time.Now().Add(s.Life+time.Second)) {
		t.Errorf("ExpiresAt is %s from now, the provider says %s", time.Until(at), s.Life)
	}
}

func wrongAudience(t *testing.T, s *stage) {
	_, err := s.issueWith(s.ctx, t, s.ForeignTokens)
	s.bad(t, err, issuers.Terminal, issuers.Denied, issuers.NeedsNewIdentity)
}

func expiredIdentity(t *testing.T, s *stage) {
	_, err := s.issueWith(s.ctx, t, nil)
	s.bad(t, err, issuers.NeedsNewIdentity)
	_, err = s.issueWith(s.ctx, t, s.ExpiredTokens)
	s.bad(t, err, issuers.NeedsNewIdentity)
}

// everyRequest runs check with a fault at each request of an Issue in turn.
func everyRequest(t *testing.T, s *stage, fault Fault, check func(t *testing.T, err error)) {
	t.Helper()
	s.Server.Count()
	s.good(t)
	n := s.Server.Count()
	if n == 0 {
		t.Fatal("Issue called the Server not even once")
	}
	for i := range n {
		s.Server.FailAt(i, fault)
		_, err := s.issue(s.ctx, t)
		if err == nil {
			t.Errorf("request %d of %d failed, Issue did not", i+1, n)
			continue
		}
		check(t, err)
		if s.Server.Armed() {
			t.Errorf("request %d of %d was never made", i+1, n)
		}
		s.good(t) // nothing of the failure stays
	}
}

func rateLimited(t *testing.T, s *stage) {
	const wait = 7 * time.Second
	everyRequest(t, s, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Retry-After", "7")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	}, func(t *testing.T, err error) {
		t.Helper()
		if e := s.failure(t, err, issuers.Retryable); e.After != wait {
			t.Errorf("After is %s, the provider says %s", e.After, wait)
		}
	})
}

func serverError(t *testing.T, s *stage) {
	const inside = "internal-page-content"
	everyRequest(t, s, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, inside, http.StatusInternalServerError)
	}, func(t *testing.T, err error) {
		t.Helper()
		if e := s.failure(t, err, issuers.Retryable); strings.Contains(e.Error(), inside) {
			t.Errorf("the error quotes what is not the documented error shape: %s", e)
		}
	})
}

// longBody pads the right answer, so that a client without a bound succeeds.
func longBody(t *testing.T, s *stage) {
	everyRequest(t, s, func(w http.ResponseWriter, r *http.Request, right http.Handler) {
		answer := httptest.NewRecorder()
		right.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client may hang up
		_, _ = w.Write([]byte(strings.Repeat(" ", 2<<20)))
	}, func(t *testing.T, err error) {
		t.Helper()
		s.bad(t, err)
	})
}

func slowBody(t *testing.T, s *stage) {
	s.Server.Count()
	s.good(t)
	for i := range s.Server.Count() {
		ctx, cancel := context.WithCancel(s.ctx)
		s.Server.FailAt(i, func(w http.ResponseWriter, r *http.Request, right http.Handler) {
			answer := httptest.NewRecorder()
			right.ServeHTTP(answer, r)
			maps.Copy(w.Header(), answer.Header())
			w.Header().Set("Content-Length", "1000000")
			w.WriteHeader(answer.Code)
			_ = http.NewResponseController(w).Flush() // an error shows in the test's end
			cancel()
			<-r.Context().Done()
		})
		_, err := s.issue(ctx, t)
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("request %d: error is %v, want one that wraps context.Canceled", i+1, err)
			continue
		}
		s.bad(t, err, issuers.Retryable)
	}
}

func redirect(t *testing.T, s *stage) {
	var reached atomic.Int32
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		s.Server.right.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	everyRequest(t, s, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
	}, func(t *testing.T, err error) {
		t.Helper()
		s.bad(t, err, issuers.Terminal)
	})
	if reached.Load() > 0 {
		t.Error("a redirect to another host was followed")
	}
}

// echo answers with every form of error shape, each full of what was sent.
func echo(t *testing.T, s *stage) {
	for _, status := range []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusBadGateway} {
		everyRequest(t, s, func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			writeEcho(w, r, status)
		}, func(t *testing.T, err error) {
			t.Helper()
			s.bad(t, err)
		})
	}
}

func scopeReduced(t *testing.T, s *stage) {
	if s.Reduce == nil {
		t.Fatal("the Scene has no Reduce")
	}
	full := s.good(t)
	s.Reduce()
	s.Connector.ScopeEnforcement = connector.Strict
	_, err := s.issue(s.ctx, t)
	if err == nil {
		t.Fatal("less was granted than asked for, and Issue did not tell")
	}
	s.bad(t, err, issuers.Denied)
	s.Connector.ScopeEnforcement = connector.BestEffort
	reduced := s.good(t)
	if len(reduced.Warnings) == 0 {
		t.Error("BestEffort gives no warning about the reduced scope")
	}
	if slices.Equal(full.Granted.Repositories, reduced.Granted.Repositories) && slices.Equal(full.Granted.Actions, reduced.Granted.Actions) {
		t.Errorf("Granted is %v before and after the reduction", reduced.Granted)
	}
}

func revokeTwice(t *testing.T, s *stage) {
	c := s.good(t)
	req, done := s.request(s.ctx, t, s.Tokens)
	defer done()
	revoker, _ := s.issuer.(issuers.Revoker) // revokes checked it
	for n := range 2 {
		if err := revoker.Revoke(s.ctx, req, c.Handle); err != nil {
			t.Errorf("revocation number %d: %v", n+1, err)
		}
	}
	if s.Revoked == nil {
		t.Fatal("the Scene has no Revoked: nothing proves the revocation")
	}
	s.Revoked(t, c)
}

func concurrent(t *testing.T, s *stage) {
	errs := make(chan error, 2)
	for range 2 {
		req, done := s.request(s.ctx, t, s.Tokens)
		go func() {
			defer done()
			_, err := s.issuer.Issue(s.ctx, req)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
