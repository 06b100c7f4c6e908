package issuers

import (
	"slices"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// LoginHosts are the declared registries that a login without a host of its
// own is for: all but those that are declared only to say where their mirrors
// are. A login for the mirror must not be shown to the host it mirrors, say
// Docker Hub. When every registry has mirrors, it is for all of them.
func LoginHosts(c *connector.Connector) []connector.Registry {
	mirrored := func(r connector.Registry) bool { return len(r.Mirrors) > 0 }
	if hosts := slices.DeleteFunc(slices.Clone(c.Registries), mirrored); len(hosts) > 0 {
		return hosts
	}
	return c.Registries
}
