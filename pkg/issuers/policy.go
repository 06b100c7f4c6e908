package issuers

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Policy is what the operator allows outgoing calls.
type Policy struct {
	// AllowedHosts are host globs with or without port, addresses, or CIDRs.
	// A * stands for characters of one label; without a port every port is
	// meant. Empty allows every public and private address. Loopback,
	// link-local and metadata addresses are never allowed by it.
	AllowedHosts []string
	// AllowLoopback lets an entry of AllowedHosts that plainly names loopback
	// (a host name without glob, or an address or CIDR within it) reach it. It
	// is for standalone mode only.
	AllowLoopback bool
	// Audiences bind the tokens of an audience to hosts, written as in
	// AllowedHosts but without CIDRs.
	Audiences map[string][]string
	// RefusedAudiences are never asked for: those of the API server.
	RefusedAudiences []string
	// Proxy replaces HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment.
	Proxy *httpproxy.Config
}

// ParseAllowedHosts checks the values of --allowed-hosts, each of which may be
// a comma-separated list. All mistakes are reported at once.
func ParseAllowedHosts(values ...string) ([]string, error) {
	var hosts []string
	var errs []error
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			item = strings.TrimSpace(item)
			if item == "" {
				continue
			}
			if _, err := parseDestination(item); err != nil {
				errs = append(errs, err)
				continue
			}
			hosts = append(hosts, item)
		}
	}
	return hosts, errors.Join(errs...)
}

// ParseAudiences reads the values of --audience, each AUD=HOST[,HOST]…; values
// for the same audience add up. All mistakes are reported at once.
func ParseAudiences(values ...string) (map[string][]string, error) {
	audiences := map[string][]string{}
	var errs []error
	for _, value := range values {
		// Hosts hold no equals sign, audiences may.
		cut := strings.LastIndexByte(value, '=')
		if cut <= 0 || cut == len(value)-1 {
			errs = append(errs, connector.Errorf(connector.ErrInvalid, "audience %q: write AUD=HOST or AUD=HOST,HOST", withoutLogin(value)))
			continue
		}
		audience := value[:cut]
		for host := range strings.SplitSeq(value[cut+1:], ",") {
			host = strings.TrimSpace(host)
			if err := checkAudienceHost(audience, host); err != nil {
				errs = append(errs, err)
				continue
			}
			if !slices.Contains(audiences[audience], host) {
				audiences[audience] = append(audiences[audience], host)
			}
		}
	}
	return audiences, errors.Join(errs...)
}

func checkAudienceHost(audience, host string) error {
	d, err := parseDestination(host)
	if err != nil {
		return fmt.Errorf("audience %q: %w", audience, err)
	}
	if d.prefix.IsValid() && !d.prefix.IsSingleIP() {
		return connector.Errorf(connector.ErrInvalid, "audience %q: %q is a CIDR: name the hosts that may see the token", audience, host)
	}
	return nil
}

// destination is one item of a list of hosts.
type destination struct {
	prefix netip.Prefix  // of an address or CIDR, else invalid
	name   connector.Key // of a host glob, without port
	port   string        // empty = every port
}

func parseDestination(item string) (destination, error) {
	if strings.Contains(item, "/") {
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			return destination{}, noDestination(item)
		}
		if prefix.Masked() != prefix {
			return destination{}, connector.Errorf(connector.ErrInvalid, "allowed host %q: the CIDR has bits beyond its length: write %s", item, prefix.Masked())
		}
		return destination{prefix: prefix}, nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(item, "[]")); err == nil {
		return destination{prefix: single(addr)}, nil
	}
	if addr, err := netip.ParseAddrPort(item); err == nil {
		return destination{prefix: single(addr.Addr()), port: fmt.Sprint(addr.Port())}, nil
	}
	if _, err := connector.CanonicalHost(item); err != nil {
		return destination{}, noDestination(item)
	}
	// Without its port, or Docker Hub's names would not be known.
	name, port := connector.SplitPort(item)
	name, err := connector.CanonicalHost(name)
	if err != nil {
		return destination{}, noDestination(item)
	}
	return destination{name: connector.Key{Host: name}, port: port}, nil
}

func noDestination(item string) error {
	return connector.Errorf(connector.ErrInvalid, "allowed host %q: write host, host:port or a CIDR such as 10.0.0.0/8", withoutLogin(item))
}

// withoutLogin is what of user:password@host may be quoted.
func withoutLogin(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

func single(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}

// namesHost reports whether the item names a host by its name, or by its
// address when the name is one.
func (d destination) namesHost(name, port string) bool {
	if d.port != "" && d.port != port {
		return false
	}
	if !d.prefix.IsValid() {
		host, err := connector.CanonicalHost(strings.TrimSuffix(name, "."))
		return err == nil && d.name.MatchesHost(host)
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && d.prefix.Contains(addr.Unmap().WithZone(""))
}

// namesLoopback reports whether the item can mean nothing but one named host
// or loopback itself, so that no wide rule opens loopback by accident.
func (d destination) namesLoopback() bool {
	if !d.prefix.IsValid() {
		return !d.name.HostGlob()
	}
	if d.prefix.Addr().Is4() {
		return d.prefix.Addr().IsLoopback() && d.prefix.Bits() >= 8
	}
	return d.prefix.Addr().IsLoopback() && d.prefix.IsSingleIP()
}

// parseAudiences turns a Policy's audiences into destinations.
func parseAudiences(audiences map[string][]string) (map[string][]destination, error) {
	parsed := make(map[string][]destination, len(audiences))
	var errs []error
	for _, audience := range slices.Sorted(maps.Keys(audiences)) {
		if audience == "" {
			errs = append(errs, connector.Errorf(connector.ErrInvalid, "an audience cannot be empty"))
		}
		for _, host := range audiences[audience] {
			if err := checkAudienceHost(audience, host); err != nil {
				errs = append(errs, err)
				continue
			}
			d, _ := parseDestination(host) // checkAudienceHost parsed it
			parsed[audience] = append(parsed[audience], d)
		}
	}
	return parsed, errors.Join(errs...)
}
