package connector

import (
	"encoding/json"
	"slices"
	"time"
)

// Connector is a Connector or ClusterConnector after defaulting and checking.
// It holds no secret and survives JSON, because a snapshot of it is stored
// with every credential that has to be revoked one day.
type Connector struct {
	Ref        Ref    `json:"ref"`
	UID        string `json:"uid"`
	Generation int64  `json:"generation"`
	// ObjectNamespace is where the references below are read.
	ObjectNamespace string     `json:"objectNamespace"`
	Registries      []Registry `json:"registries,omitempty"`
	// Access is nil when the manifest has no access list.
	Access           []Peer        `json:"access"`
	Scope            Scope         `json:"scope"`
	MinimumScope     Grain         `json:"minimumScope,omitempty"`
	Sharing          Sharing       `json:"sharing,omitempty"` // empty = what the issuer declares
	MaxAge           time.Duration `json:"maxAge,omitempty"`
	Overlap          time.Duration `json:"overlap,omitempty"` // zero = min(1 h, remaining life)
	DefaultTTL       time.Duration `json:"defaultTTL,omitempty"`
	AllowLongLived   bool          `json:"allowLongLived,omitempty"`
	ScopeEnforcement Enforcement   `json:"scopeEnforcement,omitempty"`
	Issuer           IssuerConfig  `json:"issuer"`
}

// IssuerConfig is the one member of spec.issuer: its name and its content in
// canonical JSON. Issuer configurations hold references, never secrets.
type IssuerConfig struct {
	Kind   string          `json:"kind"`
	Config json.RawMessage `json:"config"`
}

// Sharing says who may use one credential together, from narrow to wide.
type Sharing string

// The kinds of sharing, narrow to wide.
const (
	SharePod            Sharing = "Pod"
	ShareServiceAccount Sharing = "ServiceAccount"
	ShareConnector      Sharing = "Connector"
)

var sharings = []Sharing{SharePod, ShareServiceAccount, ShareConnector}

// Narrower returns the narrower of two; an empty one does not count.
func (s Sharing) Narrower(o Sharing) Sharing {
	switch i, j := slices.Index(sharings, s), slices.Index(sharings, o); {
	case i < 0:
		return o
	case j < 0 || i < j:
		return s
	default:
		return o
	}
}

// Enforcement says whether a scope that cannot be enforced is refused.
type Enforcement string

// The kinds of enforcement; Strict is the default.
const (
	Strict     Enforcement = "Strict"
	BestEffort Enforcement = "BestEffort"
)

// Registry is one host and how it is reached.
type Registry struct {
	Host      string   `json:"host"` // canonical host[:port]
	PlainHTTP bool     `json:"plainHTTP,omitempty"`
	TLS       TLS      `json:"tls,omitzero"`
	Mirrors   []string `json:"mirrors,omitempty"` // URLs of mirrors of this host
}

// TLS tells where the trust for one host comes from.
type TLS struct {
	CABundle                 string     `json:"caBundle,omitempty"` // PEM, CERTIFICATE blocks only
	CAConfigMap              *ObjectKey `json:"caConfigMap,omitempty"`
	CASecret                 *ObjectKey `json:"caSecret,omitempty"`
	InsecureSkipVerify       bool       `json:"insecureSkipVerify,omitempty"`
	ClientCertificateSecret  string     `json:"clientCertificateSecret,omitempty"` // kubernetes.io/tls
	DeliverClientCertificate bool       `json:"deliverClientCertificate,omitempty"`
}

// ObjectKey names one key of a Secret or ConfigMap in the ObjectNamespace.
type ObjectKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Peer is one item of an access list: all its fields must hold.
type Peer struct {
	Namespaces        []string  `json:"namespaces,omitempty"`
	NamespaceSelector *Selector `json:"namespaceSelector,omitempty"`
	ServiceAccounts   []string  `json:"serviceAccounts,omitempty"`
}

// Consents reports whether the owner of c lets the subject use it, given the
// labels of the subject's namespace.
func (c *Connector) Consents(s Subject, namespaceLabels map[string]string) bool {
	if c.Access == nil {
		return !c.Ref.Cluster() && c.Ref.Namespace == s.Namespace
	}
	return slices.ContainsFunc(c.Access, func(p Peer) bool {
		return p.admitsNamespace(c.Ref.Namespace, s.Namespace, namespaceLabels) &&
			(len(p.ServiceAccounts) == 0 || slices.Contains(p.ServiceAccounts, s.ServiceAccount))
	})
}

func (p Peer) admitsNamespace(own, asked string, labels map[string]string) bool {
	if len(p.Namespaces) == 0 && p.NamespaceSelector == nil {
		return own != "" && own == asked
	}
	return (len(p.Namespaces) == 0 || slices.Contains(p.Namespaces, asked)) &&
		(p.NamespaceSelector == nil || p.NamespaceSelector.Matches(labels))
}
