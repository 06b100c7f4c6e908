package secret

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Kind is the name of the member of spec.issuer.
const Kind = "secret"

//go:embed example.yaml
var example string

// Definition describes the kind.
func Definition() issuers.Definition {
	docs := issuers.Docs{
		Summary:  "Hands out the logins of existing Kubernetes Secrets, chosen by name or by label.",
		Identity: "static: whoever the Secret's login belongs to",
		Life:     "as the Secret: a changed one arrives within seconds; an annotation or the exp of a JWT can tell an end",
		Static:   true,
		Sharing:  connector.ShareConnector,
	}
	return issuers.Define(Kind, docs, example, func(c Config) issuers.Issuer { return &issuer{config: c} })
}

type issuer struct{ config Config }

// Audiences implements issuers.Issuer: no pod token is needed.
func (*issuer) Audiences() []string { return nil }

// Issue implements issuers.Issuer. It reads the Secrets and merges them.
func (i *issuer) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	secrets, err := i.read(ctx, req.Objects)
	if err != nil {
		return nil, err
	}
	var hosts []string
	for _, r := range issuers.LoginHosts(req.Connector) {
		hosts = append(hosts, r.Host)
	}
	m := pullsecret.NewMerger(time.Now())
	var refused []error // the Secrets that are not offered
	for _, s := range secrets {
		err := i.merge(m, s, req.Connector.Ref.Name, hosts)
		switch {
		case errors.Is(err, connector.ErrDenied):
			// It takes nothing from those that are offered.
			refused = append(refused, err)
		case err != nil:
			return nil, err
		}
	}
	if err := i.check(m, secrets, refused); err != nil {
		return nil, err
	}
	for _, err := range refused {
		m.Warn("left out: " + err.Error())
	}
	return m.Credential(), nil
}

func (i *issuer) read(ctx context.Context, objects issuers.Objects) ([]*connector.Object, error) {
	if i.config.Name != "" {
		object, err := objects.Object(ctx, connector.KindSecret, i.config.Name)
		if err != nil {
			return nil, issuers.ObjectError(connector.KindSecret, i.config.Name, err)
		}
		return []*connector.Object{object}, nil
	}
	found, err := objects.Select(ctx, connector.KindSecret, *i.config.Selector)
	if err != nil {
		return nil, issuers.Retry(0, "SecretUnreadable", "reading the Secrets that selector chooses: %w", err)
	}
	if len(found) == 0 {
		return nil, issuers.Retry(0, "SecretNotFound", "no Secret in the Connector's namespace matches selector").Because(connector.ErrNotFound)
	}
	return found, nil
}

// merge adds what one Secret holds.
func (i *issuer) merge(m *pullsecret.Merger, s *connector.Object, connectorName string, hosts []string) error {
	login, err := pullsecret.Read(s, connectorName, hosts)
	if err != nil {
		return err
	}
	m.Warn(login.Warnings...)
	end, err := i.annotatedEnd(s)
	if err != nil {
		return err
	}
	for _, entry := range login.Entries {
		m.Add(fmt.Sprintf("Secret %q", s.Name), entry, end)
	}
	return nil
}

func (i *issuer) check(m *pullsecret.Merger, secrets []*connector.Object, refused []error) error {
	if m.Len() == 0 && len(refused) > 0 {
		return refused[0]
	}
	if m.Len() == 0 {
		return issuers.Terminate("SecretExpired", "Secret %q: its login has ended (%s); renew the Secret", secrets[0].Name, m.Ended()).Because(connector.ErrDenied)
	}
	if i.config.RequireSingleEntry && m.Len() != 1 {
		return issuers.Terminate("NotSingleEntry", "there are %d logins (Secrets found: %d), and requireSingleEntry allows one", m.Len(), len(secrets))
	}
	return nil
}

// annotatedEnd reads the annotation that tells when a Secret's login ends.
func (i *issuer) annotatedEnd(s *connector.Object) (time.Time, error) {
	text, ok := s.Annotations[i.config.ExpiresAnnotation]
	if i.config.ExpiresAnnotation == "" || !ok {
		return time.Time{}, nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, issuers.Terminate("SecretInvalid", "Secret %q: annotation %s is not a time such as 2026-12-31T23:00:00Z", s.Name, i.config.ExpiresAnnotation)
	}
	return issuers.Believable(end), nil
}
