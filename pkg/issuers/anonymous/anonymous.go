package anonymous

import (
	"context"
	_ "embed"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Kind is the name of the member of spec.issuer.
const Kind = "anonymous"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:         "Says that the declared registries are used without a login.",
		Identity:        "none",
		Life:            "as the Connector: there is nothing that could end",
		Static:          true,
		Sharing:         connector.ShareConnector,
		NeedsRegistries: true,
	}
	return issuers.Define(Kind, docs, example, func(Config) issuers.Issuer { return issuer{} })
}

type issuer struct{}

// Audiences implements issuers.Issuer: no pod token is needed.
func (issuer) Audiences() []string { return nil }

// Scope implements issuers.Scoper: what everybody has cannot be limited, not
// even to an identity.
func (issuer) Scope(connector.Scope) (connector.Scope, connector.Grain) {
	return connector.Scope{}, connector.GrainNone
}

// Issue implements issuers.Issuer: an absence for every declared host.
func (issuer) Issue(_ context.Context, req issuers.Request) (*connector.Credential, error) {
	if len(req.Connector.Registries) == 0 {
		return nil, issuers.Terminate("RegistryMissing", "the Connector declares no registry to use anonymously: add spec.address (or spec.registries)")
	}
	c := &connector.Credential{IssuedAt: time.Now(), Static: true, Grain: connector.GrainNone}
	for _, r := range req.Connector.Registries {
		c.Entries = append(c.Entries, connector.Entry{Key: connector.Key{Host: r.Host}, Anonymous: true})
	}
	return c, nil
}
