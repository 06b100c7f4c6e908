package v1alpha1

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/distributiontoken"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

// IssuerSource says where credentials come from: exactly one member, named
// after the issuer's kind.
// +kubebuilder:validation:ExactlyOneOf=distributionToken;secret
type IssuerSource struct {
	// distributionToken asks the registry's own token service, by the token
	// authentication of the CNCF distribution project, with a user name and
	// password from a Secret, for tokens that live minutes.
	// +optional
	DistributionToken *distributiontoken.Config `json:"distributionToken,omitempty"`

	// secret hands out what Secrets of Kubernetes hold, and follows their
	// changes.
	// +optional
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
