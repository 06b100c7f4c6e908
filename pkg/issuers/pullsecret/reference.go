package pullsecret

import (
	"regexp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// dataKey is what the API server takes for a key of a Secret or ConfigMap.
var dataKey = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// CheckReference tells what is wrong with a reference, in the named field, to
// a key of an object; a key that is not written is none.
func CheckReference(field string, kind connector.ObjectKind, name, key string) []error {
	var errs []error
	if !connector.IsName(name) {
		errs = append(errs, connector.Field(field+".name", "%q is not the name of a %s", name, kind))
	}
	if key != "" && !dataKey.MatchString(key) {
		errs = append(errs, connector.Field(field+".key", "%q is no key of a %s: use letters, digits, dashes, underscores and dots, at most 253", key, kind))
	}
	return errs
}
