package pullsecret

import (
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// parseKey reads a name of auths. Under a scheme v1 and v2 begin a path of the
// registry's API, and a login for that is one for the host.
func parseKey(written string) (connector.Key, error) {
	if scheme, rest, ok := strings.Cut(written, "://"); ok {
		host, path, _ := strings.Cut(rest, "/")
		if version, _, _ := strings.Cut(path, "/"); version == "v1" || version == "v2" {
			written = scheme + "://" + host
		}
	}
	return connector.ParseKey(written)
}

// isHubSession knows the names under which docker login keeps its own session
// with Docker Hub beside the login
// (https://github.com/docker/cli/tree/master/cli/internal/oauth).
func isHubSession(written string) bool {
	const hub = "https://index.docker.io/v1/"
	return slices.Contains([]string{hub + "access-token", hub + "refresh-token"}, written)
}
