package secret

import (
	"errors"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Config chooses the Secrets whose logins the Connector hands out. Exactly one
// of name and selector is set.
// +kubebuilder:validation:XValidation:rule="has(self.name) != has(self.selector)",message="set exactly one of name and selector"
type Config struct {
	// Name is a Secret in the namespace that the Connector reads from: of
	// type kubernetes.io/dockerconfigjson, kubernetes.io/dockercfg,
	// kubernetes.io/basic-auth, cpaas.io/distribution-registry-token, or
	// Opaque when it is labelled regcred.dev/connector: <Connector's name>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// Selector chooses Secrets by label in the same namespace. They are
	// merged in the order of their names; when two of them hold different
	// logins for one host, the first wins and the Connector warns.
	// +optional
	Selector *connector.Selector `json:"selector,omitempty"`

	// RequireSingleEntry refuses Secrets that together hold any number of
	// logins but one.
	// +optional
	RequireSingleEntry bool `json:"requireSingleEntry,omitempty"`

	// ExpiresAnnotation is the annotation of the Secret that tells, in RFC
	// 3339, when its login ends. Without it the exp of a password that is a
	// JWT counts; else the login has no end.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	ExpiresAnnotation string `json:"expiresAnnotation,omitempty"`
}

// Validate implements issuers.Config.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.Name == "" && c.Selector == nil:
		errs = append(errs, connector.Field("name", "set exactly one of name and selector"))
	case c.Name != "" && c.Selector != nil:
		errs = append(errs, connector.Field("selector", "cannot stand beside name: set exactly one of them"))
	}
	if c.Name != "" && !connector.IsName(c.Name) {
		errs = append(errs, connector.Field("name", "%q is not the name of a Secret", c.Name))
	}
	if c.Selector != nil {
		for _, mistake := range connector.FieldErrors("selector", c.Selector.Validate()) {
			errs = append(errs, mistake)
		}
	}
	// Annotations may be written in capitals.
	if a := c.ExpiresAnnotation; a != "" && !connector.IsQualifiedName(strings.ToLower(a)) {
		errs = append(errs, connector.Field("expiresAnnotation", "%q is not the name of an annotation", a))
	}
	return errors.Join(errs...)
}
