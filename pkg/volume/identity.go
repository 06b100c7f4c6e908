package volume

import (
	"context"
	"maps"
	"slices"
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
	wanted []string // audiences that the volume's issuers ask for
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

// refresh takes over the fresh tokens that an issuer asks for, and reports
// whether there are any. The others are forgotten here.
func (i *identity) refresh(tokens map[string]issuers.Token) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	fresh := false
	for _, audience := range i.wanted {
		if token, ok := tokens[audience]; ok {
			if i.tokens == nil {
				i.tokens = map[string]issuers.Token{}
			}
			i.tokens[audience], fresh = token, true
		}
	}
	return fresh
}

// successor is the identity of a pod whose ServiceAccount was deleted and made
// again under its name, else nil. Both keep their own tokens, so that what was
// acquired for the one, and may be shared with others of it, is never renewed
// as the other.
func (i *identity) successor(subject connector.Subject) *identity {
	before, now := i.subject.ServiceAccountUID, subject.ServiceAccountUID
	if before == now || before == "" || now == "" { // without a token nobody knows the UID
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return &identity{subject: subject, wanted: slices.Clone(i.wanted)}
}

// want says which audiences to keep tokens of.
func (i *identity) want(audiences []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.wanted = audiences
	maps.DeleteFunc(i.tokens, func(audience string, _ issuers.Token) bool { return !slices.Contains(audiences, audience) })
}
