package distributiontoken

import (
	"errors"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Output says what reaches the pod.
type Output string

// The outputs.
const (
	// RegistryToken is a bearer token for the repositories asked for; the
	// login itself never reaches the pod.
	RegistryToken Output = "registryToken"
	// Basic is the login as it stands in the Secret.
	Basic Output = "basic"
	// IdentityToken is an OAuth2 refresh token, which clients exchange.
	IdentityToken Output = "identityToken"
)

// defaultMinimumLife is long enough for a client to start, read the file and
// push a layer before its static token ends.
const defaultMinimumLife = 2 * time.Minute

// Config tells how to log in to the Connector's registries and what to hand to
// pods.
// +kubebuilder:validation:XValidation:rule="self.output == 'registryToken' || has(self.secretRef)",message="basic and identityToken need secretRef"
type Config struct {
	// SecretRef names the Secret with the login: the same types as those of
	// the secret issuer. Without it the registry is asked anonymously.
	// +optional
	SecretRef *SecretRef `json:"secretRef,omitempty"`

	// Output says what reaches the pod. registryToken: a bearer token for the
	// repositories asked for, which the registry lets expire after minutes.
	// basic: the user name and password as they are; identityToken: a refresh
	// token, which has no stated end. The last two need allowLongLived: true
	// in the Connector.
	// +kubebuilder:validation:Enum=registryToken;basic;identityToken
	Output Output `json:"output"`

	// MinimumLife is the shortest life of a registryToken that is accepted,
	// by default 120s. The life itself is set at the registry's token server.
	// +optional
	MinimumLife connector.Duration `json:"minimumLife,omitzero"`

	// ClientID is what regcred calls itself to the token server, by default
	// regcred.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	ClientID string `json:"clientID,omitempty"`
}

// SecretRef names a Secret in the namespace that the Connector reads from.
type SecretRef struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Validate implements issuers.Config.
func (c Config) Validate() error {
	var errs []error
	switch c.Output {
	case RegistryToken:
	case Basic, IdentityToken:
		if c.SecretRef == nil {
			errs = append(errs, connector.Field("secretRef", "is required for output %s: there is no login to hand out without it", c.Output))
		}
		if c.MinimumLife.Duration != 0 {
			errs = append(errs, connector.Field("minimumLife", "has a meaning for output registryToken only: leave it out"))
		}
	case "":
		errs = append(errs, connector.Field("output", "is required: write registryToken, or basic or identityToken together with spec.allowLongLived: true"))
	default:
		errs = append(errs, connector.Field("output", "%q is not registryToken, basic or identityToken", c.Output))
	}
	if c.SecretRef != nil && !connector.IsName(c.SecretRef.Name) {
		errs = append(errs, connector.Field("secretRef.name", "%q is not the name of a Secret", c.SecretRef.Name))
	}
	if c.MinimumLife.Duration < 0 {
		errs = append(errs, connector.Field("minimumLife", "cannot be negative"))
	}
	if len(c.ClientID) > 128 || strings.ContainsFunc(c.ClientID, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		errs = append(errs, connector.Field("clientID", "write up to 128 printable ASCII characters without spaces"))
	}
	return errors.Join(errs...)
}

// minimumLife is the configured life or the default.
func (c Config) minimumLife() time.Duration {
	if c.MinimumLife.Duration == 0 {
		return defaultMinimumLife
	}
	return c.MinimumLife.Duration
}

// clientID is the configured name or the default.
func (c Config) clientID() string {
	if c.ClientID == "" {
		return "regcred"
	}
	return c.ClientID
}
