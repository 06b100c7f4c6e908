package issuers

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Guard makes the HTTP clients through which every outgoing call of an issuer
// goes. A Connector's author chooses hosts, a registry names further ones, and
// DNS says what they mean, so a destination is judged where it cannot lie any
// more: in the dialer, by the address that is about to be connected.
//
// A client is made for one call of an issuer. It has connections of its own,
// one for each request, so that a client certificate or trust never serves
// another Connector. A Guard itself owns no goroutine and no connection.
type Guard struct {
	allowed       []destination
	allowLoopback bool
	audiences     map[string][]destination
	refused       []string
	proxy         func(*url.URL) (*url.URL, error)
	resolver      *net.Resolver // nil = the system's

	mu       sync.Mutex
	limiters map[string]*limiter // by host:port
}

// NewGuard checks the policy. All mistakes are reported at once.
func NewGuard(p Policy) (*Guard, error) {
	var errs []error
	g := &Guard{allowLoopback: p.AllowLoopback, refused: slices.Clone(p.RefusedAudiences), limiters: map[string]*limiter{}}
	for _, item := range p.AllowedHosts {
		d, err := parseDestination(item)
		if err != nil {
			errs = append(errs, err)
		}
		g.allowed = append(g.allowed, d)
	}
	audiences, err := parseAudiences(p.Audiences)
	if err != nil {
		errs = append(errs, err)
	}
	g.audiences = audiences
	proxy := p.Proxy
	if proxy == nil {
		proxy = httpproxy.FromEnvironment()
	}
	g.proxy = proxy.ProxyFunc()
	return g, errors.Join(append(errs, checkProxy("HTTP_PROXY", proxy.HTTPProxy), checkProxy("HTTPS_PROXY", proxy.HTTPSProxy))...)
}

// checkProxy refuses what package httpproxy silently passes over or takes for
// something else. The text may hold a password.
func checkProxy(variable, text string) error {
	if text == "" {
		return nil
	}
	probe := httpproxy.Config{HTTPSProxy: text}
	via, err := probe.ProxyFunc()(&url.URL{Scheme: "https", Host: "example.com"})
	if err == nil && via != nil && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, via.Scheme) {
		if _, err := connector.CanonicalHost(via.Host); err == nil {
			return nil
		}
	}
	return connector.Errorf(connector.ErrInvalid, "%s of the driver's environment is not the address of a proxy: write, for example, http://proxy.example.com:3128", variable)
}

// ClientOptions are what one Connector and its issuer need of a client.
type ClientOptions struct {
	// Registries tell how the Connector's hosts are reached.
	Registries []Trust
	// Audiences are those of the issuer. When there are any, requests go only
	// to hosts that are bound to every one of them, because the client cannot
	// know which token a request carries.
	Audiences []string
	// Timeout is for one request and its answer, by default 10 s. Waiting for
	// the host's rate limit does not count.
	Timeout time.Duration
}

const defaultTimeout = 10 * time.Second

// Client makes a client for one call of an issuer. Close its idle connections
// after the call.
func (g *Guard) Client(o ClientOptions) (*http.Client, error) {
	if err := g.CheckAudiences(o.Audiences); err != nil {
		return nil, err
	}
	t, err := g.newTransport(o)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t, CheckRedirect: sameOriginOnly}, nil
}

// CheckAudiences refuses audiences that pods' tokens must not be asked for:
// the empty one, the API server's, and those that the operator bound to no
// host.
func (g *Guard) CheckAudiences(audiences []string) error {
	var errs []error
	for _, audience := range audiences {
		switch {
		case audience == "":
			errs = append(errs, Terminate("AudienceRefused", "the empty audience is refused: name the audience that the provider expects"))
		case slices.Contains(g.refused, audience):
			errs = append(errs, Terminate("AudienceRefused", "audience %q is the API server's: a token for it opens the cluster and is never sent anywhere; choose another audience at the provider", audience))
		case len(g.audiences[audience]) == 0:
			errs = append(errs, Terminate("AudienceNotBound", "audience %q is bound to no host: add --audience %s=HOST to the driver (chart value tokenAudiences)", audience, audience))
		}
	}
	return errors.Join(errs...)
}

// checkBinding refuses hosts that a token of these audiences must not reach.
func (g *Guard) checkBinding(audiences []string, name, port string) error {
	for _, audience := range audiences {
		bound := func(d destination) bool { return d.namesHost(name, port) }
		if !slices.ContainsFunc(g.audiences[audience], bound) {
			return Terminate("DestinationRefused", "host %s is not bound to audience %q: add --audience %s=%s to the driver (chart value tokenAudiences) if its tokens may go there",
				net.JoinHostPort(name, port), audience, audience, name)
		}
	}
	return nil
}

// checkAddress judges the address behind a name, after resolution.
func (g *Guard) checkAddress(name, port string, addr netip.Addr) error {
	named, namedLoopback := g.named(name, port, addr)
	if what := forbidden(addr); what != "" && !(what == loopback && g.allowLoopback && namedLoopback) {
		return Terminate("DestinationRefused", "host %s is refused: it is %s", name, what)
	}
	if len(g.allowed) > 0 && !named {
		return Terminate("DestinationRefused", "host %s is refused: --allowed-hosts does not name it", net.JoinHostPort(name, port))
	}
	return nil
}

// named reports whether AllowedHosts names the host by name or address, and
// whether it does so plainly enough for loopback.
func (g *Guard) named(name, port string, addr netip.Addr) (named, loopback bool) {
	for _, d := range g.allowed {
		byAddress := d.prefix.IsValid() && (d.port == "" || d.port == port) && d.prefix.Contains(addr.Unmap().WithZone(""))
		if byAddress || d.namesHost(name, port) {
			named = true
			loopback = loopback || d.namesLoopback()
		}
	}
	return named, loopback
}

// checkProxied judges a host that a proxy resolves, so by name alone: it must
// be named, and must not be an address in disguise.
func (g *Guard) checkProxied(name, port string) error {
	addr, err := netip.ParseAddr(name)
	if err == nil {
		if what := forbidden(addr); what != "" {
			return Terminate("DestinationRefused", "host %s is refused: it is %s", name, what)
		}
	} else if looksNumeric(name) {
		return Terminate("DestinationRefused", "host %s is refused: write addresses in their usual form", name)
	}
	if !slices.ContainsFunc(g.allowed, func(d destination) bool { return d.namesHost(name, port) }) {
		return Terminate("DestinationRefused", "host %s is reached through an HTTP proxy, where its address cannot be checked: name it in --allowed-hosts", net.JoinHostPort(name, port))
	}
	return nil
}

// looksNumeric reports whether lenient parsers read the name as an IPv4
// address (2130706433, 0x7f.1, 127.1): its last label is a number.
func looksNumeric(name string) bool {
	name = strings.TrimSuffix(name, ".")
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.ParseUint(strings.ToLower(last), 0, 64)
	return err == nil || (last != "" && strings.Trim(last, "0123456789") == "")
}

// hostOf gives the name and port that a URL leads to.
func hostOf(u *url.URL) (name, port string) {
	if port = u.Port(); port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname(), port
}
