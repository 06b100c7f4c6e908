package connector

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DockerHub is the canonical name under which regcred knows Docker Hub.
const DockerHub = "docker.io"

// dockerHubNames are the hosts that mean Docker Hub.
var dockerHubNames = []string{DockerHub, "index.docker.io", "registry-1.docker.io"}

// Key says what an entry serves: host[:port][/path]. The host may hold *
// within a label; a glob in a path stands for characters of one segment.
type Key struct {
	Host string // host[:port], lower case, Docker Hub's names folded into one
	Path string // repository prefix by whole segments; empty = the whole host
}

// ParseKey reads a key as clients write it: an http or https scheme, a
// trailing slash and the legacy /v1/ and /v2/ suffixes are dropped. The error
// wraps ErrInvalid.
func ParseKey(s string) (Key, error) {
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if scheme = strings.ToLower(scheme); scheme != "https" && scheme != "http" {
			return Key{}, Errorf(ErrInvalid, "registry %q: the scheme must be http or https", s)
		}
		rest = after
	}
	host, path, _ := strings.Cut(rest, "/")
	path = strings.TrimSuffix(path, "/")
	if path == "v1" || path == "v2" {
		path = ""
	}
	host, err := CanonicalHost(host)
	if err != nil {
		return Key{}, err
	}
	if strings.ContainsAny(path, " \t\r\n?#\\\"'@") || slices.Contains(strings.Split(path, "/"), "") && path != "" {
		return Key{}, Errorf(ErrInvalid, "registry %q: %q is not a repository path", s, path)
	}
	return Key{Host: host, Path: path}, nil
}

// CanonicalHost checks host[:port], lowers its case, writes an IPv6 address in
// its one canonical form (RFC 5952) and folds Docker Hub's names. The error
// wraps ErrInvalid.
func CanonicalHost(hostport string) (string, error) {
	lower := strings.ToLower(hostport)
	name, port := SplitPort(lower)
	withPort := len(name) < len(lower)
	if address, bracketed := strings.CutPrefix(name, "["); bracketed {
		canonical, ok := canonicalIPv6(address)
		if !ok {
			return "", Errorf(ErrInvalid, "registry host %q: what stands in brackets is no IPv6 address: write, for example, [2001:db8::1]", hostport)
		}
		name = canonical
	} else if !isHostName(name) || withPort && strings.Trim(port, "0123456789") != "" {
		return "", Errorf(ErrInvalid, "registry host %q: write host or host:port, without scheme, path or user", hostport)
	}
	if withPort {
		if !isPort(port) {
			return "", Errorf(ErrInvalid, "registry host %q: the port must be a number from 1 to 65535, without a zero before it", hostport)
		}
		return name + ":" + port, nil
	}
	if slices.Contains(dockerHubNames, name) {
		return DockerHub, nil
	}
	return name, nil
}

// SplitPort cuts a trailing :port off, leaving a bracketed IPv6 address whole.
func SplitPort(host string) (name, port string) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		return host[:i], host[i+1:]
	}
	return host, ""
}

func isPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0 && port[0] != '0'
}

// canonicalIPv6 reads an address with the bracket that closes it. A zone means
// something on one node only; an IPv4 address has a name without brackets.
func canonicalIPv6(closed string) (name string, ok bool) {
	text, ok := strings.CutSuffix(closed, "]")
	address, err := netip.ParseAddr(text)
	if !ok || err != nil || !address.Is6() || address.Is4In6() || address.Zone() != "" {
		return "", false
	}
	return "[" + address.String() + "]", true
}

// isHostName takes names by the rules of RFC 1123, with _ within a label, which
// some networks have, and with a * at any place of it.
func isHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	const ends = "abcdefghijklmnopqrstuvwxyz0123456789*"
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, ends+"-_") != "" ||
			!strings.Contains(ends, label[:1]) || !strings.Contains(ends, label[len(label)-1:]) {
			return false
		}
	}
	return true
}

// String gives host[:port][/path].
func (k Key) String() string {
	if k.Path == "" {
		return k.Host
	}
	return k.Host + "/" + k.Path
}

// MarshalText makes a Key readable in records.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reverses MarshalText.
func (k *Key) UnmarshalText(text []byte) error {
	key, err := ParseKey(string(text))
	if err == nil {
		*k = key
	}
	return err
}

// HostGlob reports whether the host holds a *.
func (k Key) HostGlob() bool { return strings.Contains(k.Host, "*") }

// Matches reports whether the entry serves a repository of a host, given as
// canonical host[:port]. Host labels match one by one, ports must be equal,
// paths match by whole segments: team serves team and team/app, never
// team-evil. A glob matches Docker Hub through any of its names.
func (k Key) Matches(host, repository string) bool {
	return k.MatchesHost(host) && k.matchesPath(repository)
}

// MatchesHost is Matches without regard to the path.
func (k Key) MatchesHost(host string) bool {
	if host == k.Host {
		return true
	}
	if !k.HostGlob() {
		return false
	}
	if host != DockerHub {
		return hostMatches(k.Host, host)
	}
	for _, alias := range dockerHubNames {
		if hostMatches(k.Host, alias) {
			return true
		}
	}
	return false
}

func hostMatches(pattern, host string) bool {
	patternName, patternPort := SplitPort(pattern)
	name, port := SplitPort(host)
	if patternPort != port {
		return false
	}
	patterns, labels := strings.Split(patternName, "."), strings.Split(name, ".")
	if len(patterns) != len(labels) {
		return false
	}
	for i := range patterns {
		if !segmentCovers(patterns[i], labels[i]) {
			return false
		}
	}
	return true
}

func (k Key) matchesPath(repository string) bool {
	if k.Path == "" {
		return true
	}
	patterns, segments := strings.Split(k.Path, "/"), strings.Split(repository, "/")
	if len(patterns) > len(segments) {
		return false
	}
	for i := range patterns {
		if !segmentCovers(patterns[i], segments[i]) {
			return false
		}
	}
	return true
}
