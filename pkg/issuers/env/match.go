package env

import (
	"errors"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	maxMatch     = 512
	maxAsterisks = 8
)

// parseMatch reads what an entry serves: host[:port][/path], where * stands
// for characters within a label of the host or a segment of the path. A scheme
// and the /v1/ or /v2/ of a registry's API are dropped. What imgpkg would take
// for another pattern, or for none, is refused. The error reads on after the
// text, which it does not quote.
func parseMatch(written string) (connector.Key, error) {
	rest := written
	if scheme, after, ok := strings.Cut(written, "://"); ok {
		if !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
			return connector.Key{}, errors.New("has a scheme that no registry has: write https:// or none")
		}
		rest = after
	}
	host, path, _ := strings.Cut(rest, "/")
	doubled := strings.Contains("/"+path, "//")
	path = repositoryPath(path)
	bracketed := strings.HasPrefix(host, "[") // IPv6
	switch {
	case written == "":
		return connector.Key{}, errors.New("is empty: write a registry, such as registry.example.com")
	case len(written) > maxMatch:
		return connector.Key{}, errors.New("is longer than 512 characters")
	case strings.Contains(rest, "@"):
		return connector.Key{}, errors.New("must not hold a user or password: write host, host:port or host/path")
	case strings.ContainsAny(rest, "?{}\\"), strings.Contains(path, "["), !bracketed && strings.Contains(host, "["):
		return connector.Key{}, errors.New("holds a pattern that is not known: * stands for characters within a label or segment, and nothing else does")
	case strings.Contains(rest, "**"):
		return connector.Key{}, errors.New("holds **: write *, or leave the end of a path out, which serves everything below")
	case strings.Count(rest, "*") > maxAsterisks:
		return connector.Key{}, errors.New("has more than 8 asterisks: write several entries")
	}
	if doubled || path != "" && connector.CheckRepository(path) != nil {
		return connector.Key{}, errors.New("has a path that is no repository: write lower-case segments without tag or digest, such as registry.example.com/team/app")
	}
	canonical, err := connector.CanonicalHost(host)
	if err != nil {
		return connector.Key{}, errors.New("is no registry: write host, host:port or host/path")
	}
	return connector.Key{Host: canonical, Path: path}, nil
}

// repositoryPath cuts off a final slash and the root of the API.
func repositoryPath(path string) string {
	path = strings.TrimSuffix(path, "/")
	for _, version := range []string{"v1", "v2"} {
		if rest, ok := strings.CutPrefix(path, version+"/"); ok {
			path = rest
			break
		}
	}
	if path == "v1" || path == "v2" {
		return ""
	}
	return path
}
