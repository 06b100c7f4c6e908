package issuers

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const maxHeader = 64 << 10

// errNoAnswer is the cause when a request's own time limit ends it.
var errNoAnswer = errors.New("no complete answer in time")

// transport sends the requests of one client by the Guard's rules.
type transport struct {
	guard     *Guard
	audiences []string
	timeout   time.Duration
	plain     *plainHTTP
	// Trust differs by endpoint; the zero one is for those that the Connector
	// does not declare, such as token servers.
	paths map[endpoint]path
}

// path is how one host is reached: directly, or through the proxy of the
// environment.
type path struct{ direct, proxied *http.Transport }

func (g *Guard) newTransport(o ClientOptions) (*transport, error) {
	t := &transport{guard: g, audiences: o.Audiences, timeout: o.Timeout, plain: newPlainHTTP(o.Registries), paths: map[endpoint]path{}}
	if t.timeout == 0 {
		t.timeout = defaultTimeout
	}
	others, err := tlsForOthers(o.Registries)
	if err != nil {
		return nil, err
	}
	t.paths[endpoint{}] = g.newPath(others)
	declared := map[endpoint]Trust{}
	for _, r := range o.Registries {
		at := declaredEndpoint(r.Registry)
		if first, twice := declared[at]; twice {
			if !first.equal(r) {
				return nil, Terminate("RegistryAmbiguous", "registries %s and %s are one host with different tls settings: give both the same, or leave one out", first.Host, r.Host)
			}
			continue
		}
		config, err := tlsFor(r)
		if err != nil {
			return nil, err
		}
		declared[at], t.paths[at] = r, g.newPath(config)
	}
	return t, nil
}

func (g *Guard) newPath(config *tls.Config) path {
	proxied := newHTTPTransport(config)
	proxied.Proxy = func(r *http.Request) (*url.URL, error) { return g.proxy(r.URL) }
	proxied.DialContext = dialProxy
	proxied.DialTLSContext = dialTLSProxy
	proxied.OnProxyConnectResponse = checkTunnel
	direct := newHTTPTransport(config)
	direct.DialContext = g.dial
	return path{direct: direct, proxied: proxied}
}

func newHTTPTransport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // two requests per client gain nothing from HTTP/2
	return &http.Transport{
		TLSClientConfig:     config,
		TLSHandshakeTimeout: dialTimeout,
		Protocols:           protocols,
		// Package http logs what arrives on an idle connection, and that may be
		// an echo of a login.
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	via, err := t.route(req.URL)
	if err == nil {
		err = t.await(req)
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // nothing was sent; the first error is the one to tell
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.timeout, errNoAnswer)
	resp, err := via.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	t.plain.learn(req.URL, resp.Header)
	resp.Body = &boundedBody{ReadCloser: resp.Body, host: req.URL.Host, left: maxBody, cancel: cancel}
	return resp, nil
}

// await takes its turn at the host.
func (t *transport) await(req *http.Request) error {
	err := t.guard.limiterFor(endpointOf(req.URL).String()).wait(req.Context())
	if err != nil && req.Context().Err() == nil {
		return Retry(0, "RateLimited", "too many calls to host %s wait on this node", req.URL.Host)
	}
	return err
}

// route checks what can be known before the dialer and picks the way.
func (t *transport) route(u *url.URL) (*http.Transport, error) {
	name, port := hostOf(u)
	switch {
	case u.Scheme != "https" && u.Scheme != "http", strings.Trim(name, ".") == "":
		return nil, Terminate("DestinationRefused", "address %q is refused: it must be https://HOST or http://HOST", u.Scheme+"://"+u.Host)
	case u.User != nil:
		return nil, Terminate("DestinationRefused", "address of host %s is refused: it holds a user name", u.Host)
	case u.Scheme == "http" && !t.plain.allows(endpointOf(u)):
		return nil, Terminate("DestinationRefused", "host %s is refused over plain HTTP: neither is it declared with http:// or plainHTTP, nor does a registry that is name it as its token server", u.Host)
	}
	if err := t.guard.checkBinding(t.audiences, name, port); err != nil {
		return nil, err
	}
	p, ok := t.paths[endpointOf(u)]
	if !ok {
		p = t.paths[endpoint{}]
	}
	proxy, err := t.guard.proxy(u)
	if err != nil {
		return nil, Terminate("ProxyInvalid", "the HTTP proxy of the driver's environment has no valid address")
	}
	if proxy == nil {
		return p.direct, nil
	}
	return p.proxied, t.guard.checkProxied(name, port)
}

// CloseIdleConnections is called by http.Client.CloseIdleConnections.
func (t *transport) CloseIdleConnections() {
	for _, p := range t.paths {
		p.direct.CloseIdleConnections()
		p.proxied.CloseIdleConnections()
	}
}
