package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
)

// Definitions are the builtin kinds, of which distributionToken makes objects
// at a Provider: the address of its Connector. Its Secret, if it names one, is
// the account that they belong to.
func Definitions() []issuers.Definition {
	definitions := builtin.Definitions()
	for i, d := range definitions {
		if d.Kind == distributiontoken.Kind {
			definitions[i] = issuers.Define(d.Kind, d.Docs, d.Example, func(c distributiontoken.Config) issuers.Issuer { return &issuer{config: c} })
			definitions[i].Sharing = connector.ShareServiceAccount
		}
	}
	return definitions
}

type issuer struct{ config distributiontoken.Config }

var _ issuers.Revoker = (*issuer)(nil)

// Audiences implements issuers.Issuer: no token is needed.
func (*issuer) Audiences() []string { return nil }

// Scope implements issuers.Scoper, as the schema of the kind promises.
func (*issuer) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	return want, connector.GrainRepository
}

// Issue implements issuers.Issuer.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	o := order{Name: req.Name, For: holder(req.Identity.Subject()), Life: req.TTL}
	if ref := i.config.SecretRef; ref != nil {
		login, err := req.Objects.Object(ctx, connector.KindSecret, ref.Name)
		if err != nil {
			return nil, issuers.ObjectError(connector.KindSecret, ref.Name, err)
		}
		o.Account = login.Data["username"].Reveal()
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, base(req)+"/objects", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	got, err := issuers.Call(req.HTTP, post)
	if err != nil {
		return nil, err
	}
	if got.Status != http.StatusOK {
		return nil, got.Failure("making an object")
	}
	var made answer
	if err := got.JSON(&made); err != nil {
		return nil, err
	}
	key := connector.Key{Host: req.Connector.Registries[0].Host}
	return &connector.Credential{
		Entries:  []connector.Entry{{Key: key, Username: req.Name, Password: connector.NewSecret(made.Password)}},
		IssuedAt: got.Received, ExpiresAt: made.Ends, Handle: connector.Handle(made.Handle), Grain: connector.GrainRepository,
	}, nil
}

// Revoke implements issuers.Revoker.
func (*issuer) Revoke(ctx context.Context, req issuers.Request, handle connector.Handle) error {
	target := base(req) + "/objects/" + url.PathEscape(string(handle))
	if handle == "" {
		target = base(req) + "/objects?name=" + url.QueryEscape(req.Name)
	}
	remove, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, http.NoBody)
	if err != nil {
		return err
	}
	got, err := issuers.Call(req.HTTP, remove)
	if err != nil {
		return err
	}
	if got.Status != http.StatusNoContent && got.Status != http.StatusNotFound {
		return got.Failure("deleting an object")
	}
	return nil
}

// holder tells for whom the core asks.
func holder(s connector.Subject) string {
	if s.Pod != "" {
		return s.Pod
	}
	return s.String()
}

func base(req issuers.Request) string { return "http://" + req.Connector.Registries[0].Host }
