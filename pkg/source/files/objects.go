package files

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/pkg/apis/manifest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// The manifests below have the fields of the core API that a manifest can
// hold. They are read with it, so that unknown fields are found; fields of
// type any are let pass.

type secretManifest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Type              string            `json:"type"`
	Immutable         bool              `json:"immutable"`
	Data              map[string][]byte `json:"data"`
	StringData        map[string]string `json:"stringData"`
}

type configMapManifest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Immutable         bool              `json:"immutable"`
	Data              map[string]string `json:"data"`
	BinaryData        map[string][]byte `json:"binaryData"`
}

type namespaceManifest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              any `json:"spec"`
	Status            any `json:"status"`
}

type serviceAccountManifest struct {
	metav1.TypeMeta              `json:",inline"`
	metav1.ObjectMeta            `json:"metadata"`
	Secrets                      any  `json:"secrets"`
	ImagePullSecrets             any  `json:"imagePullSecrets"`
	AutomountServiceAccountToken bool `json:"automountServiceAccountToken"`
}

func readSecret(o *manifest.Object) (any, []*connector.FieldError) {
	var s secretManifest
	mistakes := o.Decode(&s)
	data := make(map[string][]byte, len(s.Data)+len(s.StringData))
	maps.Copy(data, s.Data)
	for key, text := range s.StringData { // wins over data, as in the API server
		data[key] = []byte(text)
	}
	mistakes = append(mistakes, checkKeys("data", s.Data)...)
	mistakes = append(mistakes, checkKeys("stringData", s.StringData)...)
	return newObject(connector.KindSecret, cmp.Or(s.Type, "Opaque"), s.ObjectMeta, data), mistakes
}

func readConfigMap(o *manifest.Object) (any, []*connector.FieldError) {
	var c configMapManifest
	mistakes := o.Decode(&c)
	data := make(map[string][]byte, len(c.Data)+len(c.BinaryData))
	maps.Copy(data, c.BinaryData)
	for key, text := range c.Data {
		if _, twice := data[key]; twice {
			mistakes = append(mistakes, connector.Field("data["+key+"]", "is also in binaryData: keep one"))
		}
		data[key] = []byte(text)
	}
	mistakes = append(mistakes, checkKeys("data", c.Data)...)
	mistakes = append(mistakes, checkKeys("binaryData", c.BinaryData)...)
	return newObject(connector.KindConfigMap, "", c.ObjectMeta, data), mistakes
}

func readNamespace(o *manifest.Object) (any, []*connector.FieldError) {
	var n namespaceManifest
	mistakes := o.Decode(&n)
	labels := namespaceLabels(n.Name)
	for key, value := range n.Labels {
		if key != nameLabel {
			labels[key] = value
		}
	}
	return labels, mistakes
}

// nameLabel is on every namespace: an API server sets it, and nobody can set
// another value.
const nameLabel = "kubernetes.io/metadata.name"

// namespaceLabels are those of a namespace without a manifest.
func namespaceLabels(name string) map[string]string {
	return map[string]string{nameLabel: name}
}

func readServiceAccount(o *manifest.Object) (any, []*connector.FieldError) {
	var s serviceAccountManifest
	return nothing{}, o.Decode(&s)
}

// checkKeys does not quote a key that cannot be one: it may be content that
// slipped out of its place.
func checkKeys[V any](path string, data map[string]V) []*connector.FieldError {
	for key := range data {
		if len(validation.IsConfigMapKey(key)) > 0 {
			return []*connector.FieldError{connector.Field(path, "has a key that is none: use letters, digits, dashes, underscores and dots")}
		}
	}
	return nil
}

// newObject also leaves out the annotation in which kubectl keeps a copy of
// the whole manifest.
func newObject(kind connector.ObjectKind, secretType string, meta metav1.ObjectMeta, data map[string][]byte) *connector.Object {
	o := &connector.Object{
		Kind: kind, Namespace: meta.Namespace, Name: meta.Name, Type: secretType,
		Labels: meta.Labels, Annotations: maps.Clone(meta.Annotations), Data: make(map[string]connector.Secret, len(data)),
	}
	delete(o.Annotations, "kubectl.kubernetes.io/last-applied-configuration")
	for key, value := range data {
		o.Data[key] = connector.NewSecret(string(value))
	}
	o.Version = version(o, data)
	return o
}

// version is a digest of the content: the same after a restart, so that
// nothing is issued anew for it. It is derived from secrets and therefore
// stays in memory.
func version(o *connector.Object, data map[string][]byte) string {
	content, err := json.Marshal([]any{o.Type, o.Labels, o.Annotations, data})
	if err != nil { // plain data always marshals
		return ""
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}
