package issuertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// stage is a scene with an issuer on it and everything written down.
type stage struct {
	*Scene
	issuer issuers.Issuer
	guard  *issuers.Guard
	ctx    context.Context //nolint:containedctx // of the test

	mu  sync.Mutex
	log bytes.Buffer
}

func newStage(t *testing.T, h Harness) *stage {
	t.Helper()
	s := &stage{Scene: h.Setup(t)}
	s.Connector.Issuer.Kind = h.Definition.Kind
	issuer, err := h.Definition.New(s.Connector.Issuer.Config)
	if err != nil {
		t.Fatal(err)
	}
	s.issuer = issuer
	policy := issuers.Policy{AllowLoopback: true, AllowedHosts: []string{"127.0.0.0/8"}, Audiences: map[string][]string{}}
	for _, audience := range issuer.Audiences() {
		policy.Audiences[audience] = []string{"127.0.0.1"}
	}
	if s.guard, err = issuers.NewGuard(policy); err != nil {
		t.Fatal(err)
	}
	s.ctx = klog.NewContext(t.Context(), s.logger())
	return s
}

func (s *stage) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintln(&s.log, prefix, args)
	}, funcr.Options{Verbosity: 10})
}

// issue calls Issue the way the core does.
func (s *stage) issue(ctx context.Context, t *testing.T) (*connector.Credential, error) {
	t.Helper()
	return s.issueWith(ctx, t, s.Tokens)
}

func (s *stage) issueWith(ctx context.Context, t *testing.T, tokens map[string]issuers.Token) (*connector.Credential, error) {
	t.Helper()
	req, done := s.request(ctx, t, tokens)
	defer done()
	c, err := s.issuer.Issue(ctx, req)
	if (c == nil) == (err == nil) {
		t.Fatalf("Issue gives %v and error %v, it must be one of them", c, err)
	}
	s.checkText(t, "credential", fmt.Sprintf("%v %+v %#v", c, c, c))
	return c, err
}

func (s *stage) request(ctx context.Context, t *testing.T, tokens map[string]issuers.Token) (issuers.Request, func()) {
	t.Helper()
	client := &http.Client{Transport: noCalls{t}}
	if s.Server != nil {
		var err error
		if client, err = (issuers.Clients{Guard: s.guard}).Client(ctx, s.Connector, s.Objects, s.issuer.Audiences()); err != nil {
			t.Fatal(err)
		}
	}
	return issuers.Request{
		Connector: s.Connector, Scope: s.Scope, Identity: identity(tokens), Objects: s.Objects, HTTP: client, Name: "regcred-test-1",
	}, client.CloseIdleConnections
}

// good is an Issue that must succeed.
func (s *stage) good(t *testing.T) *connector.Credential {
	t.Helper()
	c, err := s.issue(s.ctx, t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bad checks an error that Issue must have given, and that it is fit to show.
func (s *stage) bad(t *testing.T, err error, classes ...issuers.Class) {
	t.Helper()
	_ = s.failure(t, err, classes...) // everything about it was checked
}

// failure is bad for those who have more to check.
func (s *stage) failure(t *testing.T, err error, classes ...issuers.Class) *issuers.Error {
	t.Helper()
	var e *issuers.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v, want an *issuers.Error", err)
	}
	if len(classes) > 0 && !slices.Contains(classes, e.Class) {
		t.Errorf("error %q is %s, want %s", e, e.Class, classes)
	}
	if e.Reason == "" || strings.ContainsAny(e.Reason, " -_.") {
		t.Errorf("reason %q is no CamelCase word", e.Reason)
	}
	if strings.ContainsAny(e.Error(), "\r\n") {
		t.Errorf("error has several lines: %q", e)
	}
	document, _ := json.Marshal(e) // an Err that does not encode is judged by the other forms
	s.checkText(t, "error", fmt.Sprintf("%v %+v %#v %s", err, e, e, document))
	return e
}

// checkText looks for the scene's secrets, as they are and as a form holds
// them.
func (s *stage) checkText(t *testing.T, what, text string) {
	t.Helper()
	for i, secret := range s.Secrets {
		form := url.QueryEscape(secret)
		for _, sent := range []string{secret, form, strings.ReplaceAll(form, "+", "%20")} {
			if strings.Contains(text, sent) {
				t.Errorf("%s shows secret number %d", what, i)
			}
		}
	}
}

func (s *stage) checkLog(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkText(t, "log", s.log.String())
}

// noCalls fails the test of an issuer that claims to call nobody.
type noCalls struct{ t *testing.T }

// RoundTrip implements http.RoundTripper.
func (n noCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("the issuer calls %s without a Server in its Scene", r.URL.Host)
	return nil, errors.New("no calls")
}
