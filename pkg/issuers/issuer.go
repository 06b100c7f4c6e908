package issuers

import (
	"context"
	"net/http"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Issuer obtains credentials from one provider, as one Connector configures
// it. The core calls it from many goroutines, never twice at once for one
// key, and never under a lock.
type Issuer interface {
	// Audiences are the token audiences that Issue asks Identity for; empty
	// when no pod token is needed.
	Audiences() []string

	// Issue obtains one credential. It keeps nothing between calls: sharing,
	// scheduling, retries and rate limits belong to the core. It must honour
	// ctx and send every request through Request.HTTP.
	//
	// The answer states IssuedAt and, from the provider's own words,
	// ExpiresAt; it leaves ID to the core. Errors are *Error (see the
	// constructors) or wrap one; anything else counts as retryable. Terminal,
	// Denied and NeedsNewIdentity say that nothing was made at the provider, or
	// that it is deleted again; after any other the core revokes by Name. A text
	// never holds a secret, nor more of an answer than Documented allows.
	Issue(ctx context.Context, req Request) (*connector.Credential, error)
}

// Revoker is implemented by issuers whose credentials are objects at the
// provider that live until somebody deletes them.
type Revoker interface {
	// Revoke deletes what Issue made. Not found is success. The handle is
	// empty when Issue was cut off: the object is then found by Request.Name.
	Revoke(ctx context.Context, req Request, handle connector.Handle) error
}

// Scoper is implemented by issuers that can limit a credential. Without it an
// issuer's grain is identity: it grants whatever the account may do.
type Scoper interface {
	// Scope tells, without any call, what Issue would grant for want and how
	// finely the provider enforces it.
	Scope(want connector.Scope) (granted connector.Scope, grain connector.Grain)
}

// LongLiver is implemented by issuers whose configuration can ask for a
// credential that outlives the pod and that regcred does not delete.
type LongLiver interface {
	// LongLived reports whether this configuration does.
	LongLived() bool
}

// Request is what Issue may use.
type Request struct {
	// Connector is the configuration in force, without its secrets.
	Connector *connector.Connector
	// Scope is what is wished: the volume's wish within the Connector's limit.
	Scope connector.Scope
	// TTL is the wished life where the provider lets one choose; zero = its default.
	TTL time.Duration
	// Identity proves who asks.
	Identity Identity
	// Objects reads the Secrets and ConfigMaps of Connector.ObjectNamespace.
	Objects Objects
	// HTTP is the guarded client, trusting the Connector's CAs for its hosts.
	HTTP *http.Client
	// Name is unique to this call, made by the core for objects at the
	// provider: lower-case letters, digits and dashes, at most 63 bytes.
	Name string
	// Previous is the handle of the credential that this one replaces.
	Previous connector.Handle
	// Credential is the one to revoke, in Revoke only and only while it is
	// still known: some providers revoke with the credential itself.
	Credential *connector.Credential
}

// Identity is the pod, or for ServiceAccount references the Connector's own
// identity.
type Identity interface {
	Subject() connector.Subject
	// Token returns the token for one of the issuer's Audiences and its
	// expiry. When there is none, or it has expired, the error is
	// NeedsNewIdentity and names the audience.
	Token(ctx context.Context, audience string) (Token, error)
}

// Token is a ServiceAccount token for one audience.
type Token struct {
	JWT       connector.Secret
	ExpiresAt time.Time
}

// Objects reads what a Connector refers to. The core remembers every look-up,
// also a failed one, and issues anew when its result changes.
type Objects interface {
	// Object returns one object; the error wraps connector.ErrNotFound when
	// it does not exist.
	Object(ctx context.Context, kind connector.ObjectKind, name string) (*connector.Object, error)
	// Select returns the objects that a selector chooses, sorted by name;
	// none is not an error. An empty selector is ErrInvalid.
	Select(ctx context.Context, kind connector.ObjectKind, selector connector.Selector) ([]*connector.Object, error)
}
