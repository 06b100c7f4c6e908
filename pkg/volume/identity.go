package volume

import (
	"context"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// identity is a pod with the tokens that the kubelet delivered last. After a
// restart of the driver it has none until the next republish.
type identity struct {
	subject connector.Subject

	mu     sync.Mutex
	tokens map[string]issuers.Token
}

// Subject implements issuers.Identity.
func (i *identity) Subject() connector.Subject { return i.subject }

// Token implements issuers.Identity.
func (i *identity) Token(_ context.Context, audience string) (issuers.Token, error) {
	i.mu.Lock()
	token, ok := i.tokens[audience]
	i.mu.Unlock()
	switch {
	case !ok:
		return issuers.Token{}, issuers.NewIdentity("AudienceNotDelivered", "the kubelet delivered no token for audience %q: add it to tokenRequests of the CSIDriver object (chart value tokenAudiences)", audience)
	case !token.ExpiresAt.IsZero() && !time.Now().Before(token.ExpiresAt):
		return issuers.Token{}, issuers.NewIdentity("TokenExpired", "the pod's token for audience %q expired at %s; waiting for the kubelet to deliver a fresh one", audience, token.ExpiresAt.UTC().Format(time.RFC3339))
	}
	return token, nil
}

// refresh takes over fresh tokens and reports whether there are any.
func (i *identity) refresh(tokens map[string]issuers.Token) bool {
	if len(tokens) == 0 {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens = tokens
	return true
}
