package issuertest_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
)

// TestRun shows the parts that need a pod's token and a revocation, with an
// issuer of the federated kind that makes objects at its provider.
func TestRun(t *testing.T) {
	issuertest.Run(t, issuertest.Harness{
		Definition:    issuers.Define("minting", issuers.Docs{}, "", func(mintingConfig) issuers.Issuer { return minting{} }),
		Setup:         setup,
		NotApplicable: map[issuertest.Part]string{issuertest.ScopeReduced: "an object has the whole account's rights"},
	})
}

const audience = "mint.example.com"

func setup(t *testing.T) *issuertest.Scene {
	mint := &mintServer{good: "to&ken=% +" + rand.Text()[:8], expired: "to&ken=% +" + rand.Text()[:8], made: map[string]string{}}
	server := issuertest.NewServer(t, mint)
	token := func(text string) map[string]issuers.Token {
		return map[string]issuers.Token{audience: {JWT: connector.NewSecret(text), ExpiresAt: time.Now().Add(time.Hour)}}
	}
	return &issuertest.Scene{
		Connector: &connector.Connector{
			Registries: []connector.Registry{server.Registry()},
			Issuer:     connector.IssuerConfig{Config: json.RawMessage(`{}`)},
		},
		Tokens: token(mint.good), ForeignTokens: token("token-for-others"), ExpiredTokens: token(mint.expired),
		Server: server, Secrets: []string{mint.good, mint.expired, "token-for-others"}, Life: time.Hour,
		Accepts: func(t *testing.T, c *connector.Credential) {
			t.Helper()
			if !mint.knows(c) {
				t.Error("the mint does not know the password")
			}
		},
		Revoked: func(t *testing.T, c *connector.Credential) {
			t.Helper()
			if mint.knows(c) {
				t.Error("the mint still knows the password")
			}
		},
	}
}

// mintServer makes a password for whoever shows a token for it.
type mintServer struct {
	good, expired string
	mu            sync.Mutex
	made          map[string]string // name → password
}

func (m *mintServer) knows(c *connector.Credential) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	password, ok := m.made[string(c.Handle)]
	return ok && password == c.Entries[0].Password.Reveal()
}

// ServeHTTP implements http.Handler.
func (m *mintServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/made/")
	w.Header().Set("Content-Type", "application/json")
	switch bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case bearer == m.expired:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"expired_token"}`)
	case bearer != m.good:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"error":"invalid_audience"}`)
	case r.Method == http.MethodPut:
		m.made[name] = rand.Text()
		fmt.Fprintf(w, `{"password":%q,"expires_in":3600}`, m.made[name])
	case m.made[name] == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		delete(m.made, name)
	}
}

type mintingConfig struct{}

// Validate implements issuers.Config.
func (mintingConfig) Validate() error { return nil }

type minting struct{}

// Audiences implements issuers.Issuer.
func (minting) Audiences() []string { return []string{audience} }

func (minting) call(ctx context.Context, req issuers.Request, method, name string) (*issuers.Answer, error) {
	token, err := req.Identity.Token(ctx, audience)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+req.Connector.Registries[0].Host+"/made/"+name, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token.JWT.Reveal())
	return issuers.Call(req.HTTP, r, token.JWT)
}

// Issue implements issuers.Issuer.
func (m minting) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	answer, err := m.call(ctx, req, http.MethodPut, req.Name)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		failure := answer.Failure("minting", "error")
		if answer.Status == http.StatusUnauthorized {
			failure.Class = issuers.NeedsNewIdentity
		}
		return nil, failure
	}
	var made struct {
		Password  string `json:"password"`
		ExpiresIn int    `json:"expires_in"`
	}
	if err := answer.JSON(&made); err != nil {
		return nil, err
	}
	return &connector.Credential{
		Entries:  []connector.Entry{{Key: connector.Key{Host: req.Connector.Registries[0].Host}, Username: req.Name, Password: connector.NewSecret(made.Password)}},
		IssuedAt: answer.Received, ExpiresAt: answer.Received.Add(time.Duration(made.ExpiresIn) * time.Second), Handle: connector.Handle(req.Name),
	}, nil
}

// Revoke implements issuers.Revoker.
func (m minting) Revoke(ctx context.Context, req issuers.Request, handle connector.Handle) error {
	answer, err := m.call(ctx, req, http.MethodDelete, string(handle))
	if err != nil || answer.Status == http.StatusOK || answer.Status == http.StatusNotFound {
		return err
	}
	return answer.Failure("revoking", "error")
}
