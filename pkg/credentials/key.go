package credentials

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// keyParts is everything that makes two credentials different. What only
// decides who may use one (access, generation) is left out, so that editing it
// mints nothing.
type keyParts struct {
	Connector       connector.Ref
	UID             string
	ObjectNamespace string
	Issuer          connector.IssuerConfig
	Registries      []connector.Registry
	AllowLongLived  bool
	MinimumScope    connector.Grain
	Enforcement     connector.Enforcement
	DefaultTTL      time.Duration
	Audiences       []string
	Scope           connector.Scope
	TTL             time.Duration
	Identity        connector.Subject
}

// askedFor is what the keys of an unlimited scope depend on. Nobody changes a
// Connector once it is in force, so its address stands for its content.
type askedFor struct {
	connector *connector.Connector
	identity  connector.Subject
	ttl       time.Duration
}

// key is keyOf, which costs more than the rest of finding a shared credential,
// remembered.
func (m *Manager) key(req Request, def issuers.Definition, issuer issuers.Issuer) (string, connector.Subject, error) {
	if !req.Scope.IsZero() {
		return keyOf(req, def, issuer.Audiences())
	}
	asked := askedFor{req.Connector, sharedBy(req.Identity.Subject(), def.Sharing.Narrower(req.Connector.Sharing)), req.TTL}
	m.mu.Lock()
	key := m.keys[asked]
	m.mu.Unlock()
	if key != "" {
		return key, asked.identity, nil
	}
	key, identity, err := keyOf(req, def, issuer.Audiences())
	if err != nil {
		return "", identity, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.keys) >= mostRemembered {
		clear(m.keys)
	}
	m.keys[asked] = key
	return key, identity, nil
}

// keyOf derives the key under which a credential is shared, and the subject
// that it is for: nobody in particular when all users of the Connector share it.
func keyOf(req Request, def issuers.Definition, audiences []string) (string, connector.Subject, error) {
	c := req.Connector
	identity := sharedBy(req.Identity.Subject(), def.Sharing.Narrower(c.Sharing))
	parts, err := json.Marshal(keyParts{
		Connector: c.Ref, UID: c.UID, ObjectNamespace: c.ObjectNamespace, Issuer: c.Issuer, Registries: c.Registries,
		AllowLongLived: c.AllowLongLived, MinimumScope: c.MinimumScope, Enforcement: c.ScopeEnforcement, DefaultTTL: c.DefaultTTL,
		Audiences: slices.Sorted(slices.Values(audiences)), Scope: req.Scope, TTL: req.TTL, Identity: identity,
	})
	if err != nil {
		return "", identity, connector.Errorf(connector.ErrInvalid, "connector %s: %w", c.Ref, err)
	}
	sum := sha256.Sum256(parts)
	return hex.EncodeToString(sum[:]), identity, nil
}

// sharedBy reduces a subject to the part that all who share a credential have
// in common.
func sharedBy(s connector.Subject, sharing connector.Sharing) connector.Subject {
	switch sharing {
	case connector.ShareConnector:
		return connector.Subject{}
	case connector.ShareServiceAccount:
		return connector.Subject{Namespace: s.Namespace, ServiceAccount: s.ServiceAccount, ServiceAccountUID: s.ServiceAccountUID}
	default:
		return s
	}
}
