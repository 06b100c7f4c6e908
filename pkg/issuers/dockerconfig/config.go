package dockerconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/pullsecret"
)

// Config names a docker configuration and what of it is handed out.
// +kubebuilder:validation:ExactlyOneOf=secretRef;configMapRef
type Config struct {
	// SecretRef names the Secret that holds the configuration: of type
	// kubernetes.io/dockerconfigjson, or Opaque when it is labelled
	// regcred.dev/connector: <Connector's name>. The default of key is
	// .dockerconfigjson for the former and config.json for the latter.
	// +optional
	SecretRef *KeyReference `json:"secretRef,omitempty"`

	// ConfigMapRef names a ConfigMap instead, for configurations without
	// secrets worth the name. The default of key is config.json.
	// +optional
	ConfigMapRef *KeyReference `json:"configMapRef,omitempty"`

	// Hosts are the registries whose logins are handed out, as host or
	// host:port; * stands for characters within a label. The default is all
	// that the configuration holds. One for which it holds none is an error.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=260
	// +kubebuilder:validation:items:Pattern=`^(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?(\.[A-Za-z0-9*]([A-Za-z0-9_*-]*[A-Za-z0-9*])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$`
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('[') || isIP(self.split('[')[1].split(']')[0])",message="what stands in brackets is no IPv6 address"
	Hosts []string `json:"hosts,omitzero"`
}

// KeyReference names one key of a Secret or ConfigMap in the namespace that
// the Connector reads from.
type KeyReference struct {
	// Name of the object.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
	// Key in its data.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key,omitempty"`
}

// maxHosts is how many hosts one configuration names.
const maxHosts = 64

// Validate implements issuers.Config.
func (c Config) Validate() error {
	var errs []error
	switch {
	case c.SecretRef == nil && c.ConfigMapRef == nil:
		errs = append(errs, connector.Field("secretRef", "set exactly one of secretRef and configMapRef"))
	case c.SecretRef != nil && c.ConfigMapRef != nil:
		errs = append(errs, connector.Field("configMapRef", "cannot stand beside secretRef: set exactly one of them"))
	}
	if ref := c.SecretRef; ref != nil {
		errs = append(errs, pullsecret.CheckReference("secretRef", connector.KindSecret, ref.Name, ref.Key)...)
	}
	if ref := c.ConfigMapRef; ref != nil {
		errs = append(errs, pullsecret.CheckReference("configMapRef", connector.KindConfigMap, ref.Name, ref.Key)...)
	}
	if c.Hosts != nil && len(c.Hosts) == 0 {
		errs = append(errs, connector.Field("hosts", "an empty list chooses nothing: leave it out for all hosts"))
	}
	if len(c.Hosts) > maxHosts {
		errs = append(errs, connector.Field("hosts", "holds %d items; at most %d: use * or another Connector", len(c.Hosts), maxHosts))
	}
	for i, written := range c.Hosts[:min(len(c.Hosts), maxHosts)] {
		if err := validateHost(written, c.Hosts[:i]); err != nil {
			errs = append(errs, connector.Field(fmt.Sprintf("hosts[%d]", i), "%s", err))
		}
	}
	return errors.Join(errs...)
}

func validateHost(written string, before []string) error {
	if strings.Contains(written, "@") { // nothing of it is quoted
		return errors.New("must not hold a user or password: write host or host:port")
	}
	host, err := connector.CanonicalHost(written)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(before, func(other string) bool {
		same, err := connector.CanonicalHost(other)
		return err == nil && same == host
	}) {
		return fmt.Errorf("%q is there already: keep one", written)
	}
	return nil
}
