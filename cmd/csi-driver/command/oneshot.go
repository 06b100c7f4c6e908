package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// oneShot is the Leases of a command that ends at once: it refuses what
// somebody would have to look after, and notes what issuers are asked.
type oneShot struct {
	*credentials.Manager
	definitions []issuers.Definition
	tokens      map[string]issuers.Token

	mu    sync.Mutex
	calls []call // in the order of Acquire
}

// call is what an issuer is asked for.
type call struct {
	connector *connector.Connector
	audiences []string
	scope     connector.Scope
}

// Acquire implements volume.Leases.
func (o *oneShot) Acquire(ctx context.Context, req credentials.Request) (*credentials.Lease, error) {
	kind := req.Connector.Issuer.Kind
	issuer, err := o.issuer(req.Connector.Issuer)
	if err != nil {
		return nil, err
	}
	o.note(call{connector: req.Connector, audiences: issuer.Audiences(), scope: req.Scope})
	if _, revoker := issuer.(issuers.Revoker); revoker {
		return nil, connector.Errorf(connector.ErrPrecondition,
			"issuer %s makes objects at the provider that have to be deleted one day, and nothing would do that after this command: use a volume", kind)
	}
	for _, audience := range issuer.Audiences() {
		if _, ok := o.tokens[audience]; !ok {
			return nil, connector.Errorf(connector.ErrPrecondition,
				"issuer %s asks for a ServiceAccount token for audience %q: give one by --token %s=FILE (kubectl create token makes one)", kind, audience, audience)
		}
	}
	return o.Manager.Acquire(ctx, req)
}

func (o *oneShot) issuer(c connector.IssuerConfig) (issuers.Issuer, error) {
	i := slices.IndexFunc(o.definitions, func(d issuers.Definition) bool { return d.Kind == c.Kind })
	if i < 0 {
		return nil, fmt.Errorf("issuer %q is unknown", c.Kind)
	}
	return o.definitions[i].New(c.Config)
}

func (o *oneShot) note(c call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, c)
}

// unasked lists, sorted, the audiences of tokens that no issuer asked for.
func (r renderAnswer) unasked(tokens map[string]issuers.Token) []string {
	rest := maps.Clone(tokens)
	for _, c := range r.calls {
		for _, audience := range c.audiences {
			delete(rest, audience)
		}
	}
	return slices.Sorted(maps.Keys(rest))
}

// unaudited drops audit records: who runs the command gets the credential.
type unaudited struct{}

// Write implements the auditors of the core.
func (unaudited) Write(audit.Record) {}

// warnings are the Events of a command: what is wrong is printed.
type warnings func(format string, args ...any)

// Event implements volume.Events.
func (w warnings) Event(_ connector.Subject, warning bool, _, message string) {
	if warning {
		w("%s", message)
	}
}

// nobody holds a lease long enough to hear of changes.
type nobody struct{}

// Changed implements credentials.Listener.
func (nobody) Changed(string) {}

// RenewalFailed implements credentials.Listener.
func (nobody) RenewalFailed(string, connector.Ref, error) {}
