package issuers

import (
	"context"
	"net/http"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Clients makes guarded clients for Connectors, with the trust that their
// registries name.
type Clients struct{ Guard *Guard }

// Client reads what c's registries name and makes a client for one call. Close
// its idle connections after the call.
func (cs Clients) Client(ctx context.Context, c *connector.Connector, objects Objects, audiences []string) (*http.Client, error) {
	registries, err := ResolveTrust(ctx, objects, c.Registries)
	if err != nil {
		return nil, err
	}
	return cs.Guard.Client(ClientOptions{Registries: registries, Audiences: audiences})
}
