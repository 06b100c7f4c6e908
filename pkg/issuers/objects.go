package issuers

import (
	"errors"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// ObjectError tells why an object that a configuration names cannot be read.
// It is Retryable, because the object may come later, and wraps the cause.
func ObjectError(kind connector.ObjectKind, name string, err error) error {
	if errors.Is(err, connector.ErrNotFound) {
		return Retry(0, string(kind)+"NotFound", "%s %q does not exist in the Connector's namespace", kind, name).Because(err)
	}
	return Retry(0, string(kind)+"Unreadable", "reading %s %q: %w", kind, name, err)
}
