package issuertest

import (
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Part is one part of the suite.
type Part string

// The parts.
const (
	HappyPath       Part = "HappyPath"       // a credential that the provider accepts
	Expiry          Part = "Expiry"          // ExpiresAt is the provider's own word
	WrongAudience   Part = "WrongAudience"   // the provider refuses a token made for others
	ExpiredIdentity Part = "ExpiredIdentity" // NeedsNewIdentity without a fresh token
	RateLimited     Part = "RateLimited"     // 429 with Retry-After, at every request
	ServerError     Part = "ServerError"     // 500, then well again, at every request
	LongBody        Part = "LongBody"        // more than 1 MiB, at every request
	SlowBody        Part = "SlowBody"        // ctx ends a body that never ends
	Redirect        Part = "Redirect"        // to another host: never followed
	Echo            Part = "Echo"            // a provider that echoes secrets in its errors
	ScopeReduced    Part = "ScopeReduced"    // less granted than asked for is told
	RevokeTwice     Part = "RevokeTwice"     // gone already is success
	Concurrent      Part = "Concurrent"      // two Issue calls at once
)

// Harness is what the suite needs to know of an issuer.
type Harness struct {
	Definition issuers.Definition
	// Setup makes a fresh provider with one Connector for it.
	Setup func(t *testing.T) *Scene
	// NotApplicable names the parts that cannot apply, with the reason. The
	// suite checks that they cannot.
	NotApplicable map[Part]string
}

// Scene is one provider and one Connector that uses it.
type Scene struct {
	// Connector is complete but for its issuer's Kind.
	Connector *connector.Connector
	Scope     connector.Scope
	Objects   Objects
	// Tokens are the pod's, good for the provider, by audience.
	Tokens map[string]issuers.Token
	// ForeignTokens are good but for their audience; ExpiredTokens have ended.
	ForeignTokens, ExpiredTokens map[string]issuers.Token
	// Server imitates the provider; nil when the issuer calls nobody.
	Server *Server
	// Secrets are all secrets in play. None may show in an error or log.
	Secrets []string
	// Life is how long the provider says a credential lives.
	Life time.Duration
	// Accepts proves that the provider takes the credential.
	Accepts func(t *testing.T, c *connector.Credential)
	// Reduce makes the provider grant less than Scope from now on.
	Reduce func()
	// Revoked proves that the provider no longer takes the credential.
	Revoked func(t *testing.T, c *connector.Credential)
}

// Run runs every part that applies, and checks that the others cannot.
func Run(t *testing.T, h Harness) {
	parts := []struct {
		part    Part
		run     func(*testing.T, *stage)
		applies func(*stage) bool
	}{
		{HappyPath, happyPath, always},
		{Expiry, expiry, expires},
		{WrongAudience, wrongAudience, needsToken},
		{ExpiredIdentity, expiredIdentity, needsToken},
		{RateLimited, rateLimited, callsProvider},
		{ServerError, serverError, callsProvider},
		{LongBody, longBody, callsProvider},
		{SlowBody, slowBody, callsProvider},
		{Redirect, redirect, callsProvider},
		{Echo, echo, callsProvider},
		{ScopeReduced, scopeReduced, scopes},
		{RevokeTwice, revokeTwice, revokes},
		{Concurrent, concurrent, always},
	}
	for _, p := range parts {
		t.Run(string(p.part), func(t *testing.T) {
			s := newStage(t, h)
			reason, declared := h.NotApplicable[p.part]
			switch applies := p.applies(s); {
			case declared && applies:
				t.Errorf("declared not applicable (%s), yet it applies", reason)
			case !declared && !applies:
				t.Error("does not apply: declare it in NotApplicable with the reason")
			case applies:
				p.run(t, s)
			}
			s.checkLog(t)
		})
	}
	for part := range h.NotApplicable {
		known := false
		for _, p := range parts {
			known = known || p.part == part
		}
		if !known {
			t.Errorf("NotApplicable names an unknown part %q", part)
		}
	}
}
