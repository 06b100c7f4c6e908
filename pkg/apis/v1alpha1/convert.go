package v1alpha1

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Options is what a conversion must know beside the manifest.
type Options struct {
	// ClusterResourceNamespace is where the references of ClusterConnectors
	// are read.
	ClusterResourceNamespace string
	// Issuers are the kinds that spec.issuer can name.
	Issuers []issuers.Definition
}

// Read decodes and converts the manifest of a Connector or ClusterConnector.
// It returns every mistake at once, in the order of lines, and a Connector
// only when there is none.
func Read(o *manifest.Object, opts Options) (*connector.Connector, []*connector.FieldError) {
	var c interface {
		metav1.Object
		Convert(opts Options) (*connector.Connector, error)
	} = &Connector{}
	if o.Kind == KindClusterConnector {
		c = &ClusterConnector{}
	}
	mistakes := o.Decode(c)
	// A manifest may be an export: what a server once counted means nothing for
	// a file that is edited by hand.
	c.SetUID("")
	c.SetGeneration(0)
	converted, err := c.Convert(opts)
	for _, mistake := range connector.FieldErrors("", err) {
		if !o.Doubtful(mistake.Path) {
			mistakes = append(mistakes, mistake)
		}
	}
	if len(mistakes) == 0 {
		return converted, nil
	}
	return nil, o.InOrder(mistakes)
}

// Convert checks the manifest and gives it in the words of the core. The
// error joins one *connector.FieldError for each mistake.
func (c *Connector) Convert(opts Options) (*connector.Connector, error) {
	var m mistakes
	m.namespace("metadata.namespace", c.Namespace)
	out := m.connector(&c.ObjectMeta, &c.Spec, opts)
	out.Ref.Namespace, out.ObjectNamespace = c.Namespace, c.Namespace
	return m.result(out)
}

// Convert checks the manifest and gives it in the words of the core. The
// error joins one *connector.FieldError for each mistake.
func (c *ClusterConnector) Convert(opts Options) (*connector.Connector, error) {
	var m mistakes
	if c.Namespace != "" {
		m.add("metadata.namespace", "a ClusterConnector has no namespace: leave it out, or write a Connector")
	}
	out := m.connector(&c.ObjectMeta, &c.Spec, opts)
	for i, peer := range c.Spec.Access {
		if len(peer.Namespaces) == 0 && peer.NamespaceSelector == nil && len(peer.ServiceAccounts) > 0 {
			m.add(fmt.Sprintf("spec.access[%d]", i), "a ClusterConnector has no namespace of its own: add namespaces or namespaceSelector")
		}
	}
	out.ObjectNamespace = opts.ClusterResourceNamespace
	return m.result(out)
}

// connector converts what both kinds have in common.
func (m *mistakes) connector(meta *metav1.ObjectMeta, spec *ConnectorSpec, opts Options) *connector.Connector {
	m.objectName("metadata.name", meta.Name)
	out := &connector.Connector{
		Ref:              connector.Ref{Name: meta.Name},
		UID:              cmp.Or(string(meta.UID), derivedUID(meta)),
		Generation:       cmp.Or(meta.Generation, derivedGeneration(spec)),
		Registries:       m.registries(spec),
		Access:           m.access(spec.Access),
		Scope:            m.scope(spec.Scope),
		MinimumScope:     enum(m, "spec.minimumScope", spec.MinimumScope, connector.GrainNone, connector.GrainIdentity, connector.GrainProject, connector.GrainRepository),
		Sharing:          enum(m, "spec.sharing", spec.Sharing, connector.SharePod, connector.ShareServiceAccount, connector.ShareConnector),
		MaxAge:           duration(spec.MaxAge),
		Overlap:          duration(spec.Overlap),
		DefaultTTL:       duration(spec.DefaultTTL),
		AllowLongLived:   spec.AllowLongLived,
		ScopeEnforcement: cmp.Or(enum(m, "spec.scopeEnforcement", spec.ScopeEnforcement, connector.Strict, connector.BestEffort), connector.Strict),
		Issuer:           m.issuer(spec, opts.Issuers),
	}
	if enum(m, "spec.delivery", spec.Delivery, DeliverDirect, DeliverGateway) == DeliverGateway {
		m.add("spec.delivery", "gateway is reserved and does not exist yet: write direct, or leave it out")
	}
	return out
}

// derivedUID stands for the UID that an API server would give: the same for
// the same name, after a restart too.
func derivedUID(meta *metav1.ObjectMeta) string {
	sum := sha256.Sum256([]byte(GroupVersion + "/" + meta.Namespace + "/" + meta.Name))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// derivedGeneration stands for the generation that an API server would count:
// it differs whenever the spec does.
func derivedGeneration(spec *ConnectorSpec) int64 {
	data, err := json.Marshal(spec)
	if err != nil { // plain data always marshals
		return 1
	}
	sum := sha256.Sum256(data)
	return int64(binary.BigEndian.Uint64(sum[:]) >> 11) // exact in JSON numbers
}
