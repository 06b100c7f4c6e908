package v1alpha1

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/anonymous"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/dockerconfig"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/env"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// IssuerSource says where credentials come from: exactly one member, named
// after the issuer's kind.
// +kubebuilder:validation:ExactlyOneOf=anonymous;distributionToken;dockerConfig;env;secret
type IssuerSource struct {
	// anonymous says that the declared registries are used without a login,
	// and keeps other Connectors' logins away from them. Write {}.
	// +optional
	Anonymous *anonymous.Config `json:"anonymous,omitempty"`

	// distributionToken asks the registry's own token service, by the token
	// authentication of the CNCF distribution project, with a user name and
	// password from a Secret, for tokens that live minutes.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.minimumLife) || self.output == 'registryToken'",message="minimumLife has a meaning for output registryToken only: leave it out"
	// +kubebuilder:validation:XValidation:rule="!has(self.clientID) || self.clientID.matches('^[!-~]+$')",message="clientID is of printable ASCII characters without spaces"
	// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || self.secretRef.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="secretRef.name is not the name of a Secret"
	DistributionToken *distributiontoken.Config `json:"distributionToken,omitempty"`

	// dockerConfig hands out the logins of a config.json in a Secret or
	// ConfigMap: all of them or those for chosen hosts.
	// +optional
	DockerConfig *dockerconfig.Config `json:"dockerConfig,omitempty"`

	// env hands out stored logins for many registries, listed here or in a
	// Secret under the names of imgpkg's environment variables. Hosts and
	// paths may be patterns.
	// +optional
	Env *env.Config `json:"env,omitempty"`

	// secret hands out what Secrets of Kubernetes hold, and follows their
	// changes.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.name) || self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name is not the name of a Secret"
	// +kubebuilder:validation:XValidation:rule="!has(self.expiresAnnotation) || self.expiresAnnotation.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",message="expiresAnnotation is not the name of an annotation"
	// +kubebuilder:validation:XValidation:rule="!has(self.selector) || (has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0) || (has(self.selector.matchExpressions) && self.selector.matchExpressions.size() > 0)",message="an empty selector chooses everything: write matchLabels or matchExpressions"
	Secret *secret.Config `json:"secret,omitempty"`
}

// members returns the configurations that are set, by kind, in canonical JSON.
func (s *IssuerSource) members() ([]connector.IssuerConfig, error) {
	var set []connector.IssuerConfig
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			continue
		}
		config, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, err
		}
		set = append(set, connector.IssuerConfig{Kind: memberName(v.Type().Field(i)), Config: config})
	}
	return set, nil
}

func memberName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
