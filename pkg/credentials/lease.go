package credentials

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Request asks for a credential on behalf of one holder.
type Request struct {
	// Holder is who holds the lease, in practice a volume id.
	Holder    string
	Connector *connector.Connector
	// Identity is the holder's; the latest one of the holders is used to renew.
	Identity issuers.Identity
	// Scope is already narrowed to what the Connector allows.
	Scope connector.Scope
	// TTL is the wished life; zero = the provider's default.
	TTL time.Duration
	// MinimumLife is the least life left; zero = half of the credential's life.
	MinimumLife time.Duration
}

// Lease is a holder's claim on a shared credential.
type Lease struct {
	manager *Manager
	shared  *shared
	holder  string
}
