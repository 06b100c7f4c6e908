package env

import (
	"cmp"
	"context"
	"errors"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// reader reads each Secret once.
type reader struct {
	objects   issuers.Objects
	connector string // its name, to which Secrets are offered
	known     map[string]found
}

// found is what became of reading one Secret.
type found struct {
	object *connector.Object
	err    error
}

func newReader(req issuers.Request) *reader {
	return &reader{objects: req.Objects, connector: req.Connector.Ref.Name, known: map[string]found{}}
}

// secret returns a Secret that is offered: by its label, or by one of types,
// which say that a login is in it.
func (r *reader) secret(ctx context.Context, name string, types ...string) (*connector.Object, error) {
	secret, ok := r.known[name]
	if !ok {
		secret.object, secret.err = r.objects.Object(ctx, connector.KindSecret, name)
		r.known[name] = secret
	}
	if secret.err != nil {
		return nil, issuers.ObjectError(connector.KindSecret, name, secret.err)
	}
	return secret.object, pullsecret.Offered(secret.object, r.connector, types...)
}

// text returns what one key holds.
func (r *reader) text(ctx context.Context, ref *KeyReference, standard string, check func(string) error) (connector.Secret, error) {
	key := cmp.Or(ref.Key, standard)
	object, err := r.secret(ctx, ref.Name, pullsecret.TypeBasicAuth, pullsecret.TypeDistributionToken)
	if err != nil {
		return connector.Secret{}, err
	}
	value, ok := object.Data[key]
	switch {
	case !ok:
		return connector.Secret{}, pullsecret.Invalid(object, "has no key %q", key)
	case value.IsZero():
		return connector.Secret{}, pullsecret.BadKey(object, key, errors.New("is empty: store the login, or write anonymous: true"))
	}
	if err := check(value.Reveal()); err != nil {
		return connector.Secret{}, pullsecret.BadKey(object, key, err)
	}
	return value, nil
}

// entry reads what an Entry of the configuration refers to, and tells all that
// is wrong with it.
func (r *reader) entry(ctx context.Context, e Entry) (connector.Entry, []error) {
	key, err := parseMatch(e.Match)
	if err != nil { // Validate lets none through
		return connector.Entry{}, []error{issuers.Terminate("MatchInvalid", "match %s%w", quoted(e.Match), err)}
	}
	var mistakes []error
	entry := connector.Entry{Key: key, Anonymous: e.Anonymous}
	for _, part := range []struct {
		ref      *KeyReference
		standard string
		check    func(string) error
		put      func(connector.Secret)
	}{
		{e.UsernameRef, "username", pullsecret.CheckUser, func(s connector.Secret) { entry.Username = s.Reveal() }},
		{e.PasswordRef, "password", pullsecret.CheckText, func(s connector.Secret) { entry.Password = s }},
		{e.IdentityTokenRef, "token", pullsecret.CheckText, func(s connector.Secret) { entry.IdentityToken = s }},
		{e.RegistryTokenRef, "token", pullsecret.CheckToken, func(s connector.Secret) { entry.RegistryToken = s }},
	} {
		if part.ref == nil {
			continue
		}
		value, err := r.text(ctx, part.ref, part.standard, part.check)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		part.put(value)
	}
	return entry, mistakes
}
