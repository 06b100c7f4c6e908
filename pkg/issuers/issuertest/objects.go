package issuertest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Objects are the Secrets and ConfigMaps of one namespace.
type Objects []*connector.Object

// Object implements issuers.Objects.
func (os Objects) Object(_ context.Context, kind connector.ObjectKind, name string) (*connector.Object, error) {
	for _, o := range os {
		if o.Kind == kind && o.Name == name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("%w: %s %q", connector.ErrNotFound, kind, name)
}

// Select implements issuers.Objects.
func (os Objects) Select(_ context.Context, kind connector.ObjectKind, selector connector.Selector) ([]*connector.Object, error) {
	if selector.Empty() {
		return nil, fmt.Errorf("%w: empty selector", connector.ErrInvalid)
	}
	var found []*connector.Object
	for _, o := range os {
		if o.Kind == kind && selector.Matches(o.Labels) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *connector.Object) int { return cmp.Compare(a.Name, b.Name) })
	return found, nil
}

// identity is a pod with these tokens.
type identity map[string]issuers.Token

// Subject implements issuers.Identity.
func (identity) Subject() connector.Subject {
	return connector.Subject{Namespace: "ci", ServiceAccount: "builder", ServiceAccountUID: "3c7e", Pod: "job-1", PodUID: "91ab"}
}

// Token implements issuers.Identity. It hands out what the test gave it, also
// when that is no longer good: the provider is to refuse it.
func (i identity) Token(_ context.Context, audience string) (issuers.Token, error) {
	token, ok := i[audience]
	if !ok {
		return issuers.Token{}, issuers.NewIdentity("TokenMissing", "the pod has no token for audience %q", audience)
	}
	return token, nil
}
