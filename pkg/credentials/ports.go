package credentials

import (
	"context"
	"net/http"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Objects reads Secrets and ConfigMaps from a watch cache.
type Objects interface {
	// Object returns one object; the error wraps connector.ErrNotFound.
	Object(ctx context.Context, kind connector.ObjectKind, namespace, name string) (*connector.Object, error)
	// Select returns the objects that a selector chooses, sorted by name.
	Select(ctx context.Context, kind connector.ObjectKind, namespace string, selector connector.Selector) ([]*connector.Object, error)
}

// Clients makes the guarded HTTP client for one call of an issuer.
type Clients interface {
	// Client trusts what the Connector's registries say and reaches only
	// where the operator allows for these audiences. Close the idle
	// connections of the client after the call.
	Client(ctx context.Context, c *connector.Connector, objects issuers.Objects, audiences []string) (*http.Client, error)
}

// Records stores small documents by key; a document is whole or absent.
type Records interface {
	Put(key string, document []byte) error
	Delete(key string) error // absent is success
	All() (map[string][]byte, error)
}

// Listener hears what happens to leases, outside of every lock.
type Listener interface {
	// Changed: the state of the holder's lease differs from before.
	Changed(holder string)
	// RenewalFailed: the last good credential stays in force.
	RenewalFailed(holder string, c connector.Ref, err error)
}

// Auditor writes audit records.
type Auditor interface {
	Write(audit.Record)
}
