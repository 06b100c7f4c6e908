package abuse

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
)

// definitions are the product's issuers, but distributionToken sends the pod's
// own token to the registry, as federated issuers do. clientID is the audience
// that it asks for.
func definitions() []issuers.Definition {
	all := builtin.Definitions()
	for i, d := range all {
		if d.Kind == distributiontoken.Kind {
			docs := d.Docs
			docs.Sharing = connector.ShareServiceAccount
			all[i] = issuers.Define(d.Kind, docs, d.Example, func(c distributiontoken.Config) issuers.Issuer { return exchange{c} })
		}
	}
	return all
}

type exchange struct{ config distributiontoken.Config }

// panics is the audience for which the issuer has a bug.
const panics = "panics"

// Audiences implements issuers.Issuer.
func (e exchange) Audiences() []string { return []string{e.config.ClientID} }

// Scope implements issuers.Scoper.
func (exchange) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	return want, connector.GrainRepository
}

// Issue implements issuers.Issuer.
func (e exchange) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	token, err := req.Identity.Token(ctx, e.config.ClientID)
	if err != nil {
		return nil, err
	}
	if e.config.ClientID == panics {
		panic(fmt.Sprintf("%v %+v %#v %q", req, req, token, token.JWT))
	}
	host := req.Connector.Registries[0].Host
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/exchange", http.NoBody)
	if err != nil {
		return nil, err
	}
	call.Header.Set("Authorization", "Bearer "+token.JWT.Reveal())
	answer, err := issuers.Call(req.HTTP, call, token.JWT)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, answer.Failure("exchanging the pod's token", "error", "error_description")
	}
	var got struct {
		Token string `json:"token"`
	}
	if err := answer.JSON(&got); err != nil {
		return nil, err
	}
	return &connector.Credential{
		Entries:  []connector.Entry{{Key: connector.Key{Host: host}, RegistryToken: connector.NewSecret(got.Token)}},
		IssuedAt: answer.Received, ExpiresAt: answer.Received.Add(time.Hour), Granted: req.Scope, Grain: connector.GrainRepository,
	}, nil
}
