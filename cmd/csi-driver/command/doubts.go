package command

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

// doubts lists what may keep a valid Connector from working, as far as it can
// be told from manifests alone.
func (p Program) doubts(ctx context.Context, c *connector.Connector, source *files.Source) []error {
	var all []error
	if c.Ref.Cluster() && c.Access == nil {
		all = append(all, errors.New("spec.access is missing, so it serves nobody"))
	}
	objects := objectsOf{source, c.ObjectNamespace}
	for _, r := range oneByOne(c.Registries) {
		if _, err := issuers.ResolveTrust(ctx, objects, []connector.Registry{r}); err != nil {
			all = append(all, fmt.Errorf("spec.registries: %w", elsewhere(c, err)))
		}
	}
	i := slices.IndexFunc(p.Issuers, func(d issuers.Definition) bool { return d.Kind == c.Issuer.Kind })
	definition := p.Issuers[i] // a valid Connector names one
	issuer, err := definition.New(c.Issuer.Config)
	if err != nil {
		return append(all, err)
	}
	for _, audience := range issuer.Audiences() {
		all = append(all, fmt.Errorf("its issuer asks for ServiceAccount tokens for audience %q: the driver needs --audience %s=HOST, and the CSIDriver object a tokenRequest for it", audience, audience))
	}
	// What the issuer would read is asked of the issuer itself, by having it
	// issue where nothing can be called.
	_, err = issuer.Issue(ctx, issuers.Request{
		Connector: c, Scope: connector.Scope{Repositories: []string{"app"}, Actions: c.Scope.Actions},
		Identity: podWithoutToken{connector.Subject{Namespace: c.Ref.Namespace}}, Objects: objects,
		HTTP: &http.Client{Transport: offline{}}, Name: "validate",
	})
	if err != nil && (definition.Static || errors.Is(err, connector.ErrNotFound)) {
		all = append(all, fmt.Errorf("spec.issuer.%s: %w", definition.Kind, elsewhere(c, err)))
	}
	return all
}

// oneByOne takes registries apart so that each object that one of them names is
// looked for, whatever happens to the others.
func oneByOne(registries []connector.Registry) (apart []connector.Registry) {
	for _, r := range registries {
		authority, client := r, r
		authority.TLS.ClientCertificateSecret = ""
		client.TLS = connector.TLS{ClientCertificateSecret: r.TLS.ClientCertificateSecret}
		apart = append(apart, authority, client)
	}
	return apart
}

// elsewhere says what a missing object means here.
func elsewhere(c *connector.Connector, err error) error {
	if errors.Is(err, connector.ErrNotFound) {
		return fmt.Errorf("%w%s; it may be in files that were not read", err, whichNamespace(c))
	}
	return err
}

// whichNamespace goes on after words about the Connector's namespace.
func whichNamespace(c *connector.Connector) string {
	if !c.Ref.Cluster() {
		return ""
	}
	return fmt.Sprintf(", which is %s for a ClusterConnector (--cluster-resource-namespace)", c.ObjectNamespace)
}

// objectsOf reads the objects of one namespace.
type objectsOf struct {
	source    *files.Source
	namespace string
}

// Object implements issuers.Objects.
func (o objectsOf) Object(ctx context.Context, kind connector.ObjectKind, name string) (*connector.Object, error) {
	return o.source.Object(ctx, kind, o.namespace, name)
}

// Select implements issuers.Objects.
func (o objectsOf) Select(ctx context.Context, kind connector.ObjectKind, selector connector.Selector) ([]*connector.Object, error) {
	return o.source.Select(ctx, kind, o.namespace, selector)
}

// offline is a network without anybody.
type offline struct{}

// RoundTrip implements http.RoundTripper.
func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nothing is called")
}

// podWithoutToken is an identity of which only the name is known.
type podWithoutToken struct{ subject connector.Subject }

// Subject implements issuers.Identity.
func (p podWithoutToken) Subject() connector.Subject { return p.subject }

// Token implements issuers.Identity.
func (podWithoutToken) Token(context.Context, string) (issuers.Token, error) {
	return issuers.Token{}, issuers.NewIdentity("NoToken", "there is no pod")
}
