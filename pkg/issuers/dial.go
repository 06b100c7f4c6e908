package issuers

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

const dialTimeout = 5 * time.Second

// dial connects to a host after its address was judged. Control runs for every
// address that is tried, between resolution and connect, so that no second
// look-up can give another answer.
func (g *Guard) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			addr, err := netip.ParseAddrPort(address)
			if err != nil || (network != "tcp4" && network != "tcp6") {
				return Terminate("DestinationRefused", "host %s is refused: it is no TCP address", name)
			}
			return g.checkAddress(name, port, addr.Addr())
		},
	}
	return d.DialContext(ctx, network, hostport)
}

// dialProxy connects to the proxy that the operator put in the environment,
// which may well be on loopback or the node.
func dialProxy(ctx context.Context, network, hostport string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, hostport)
	if err != nil && ctx.Err() == nil {
		return nil, proxyError(err)
	}
	return conn, err
}

// dialTLSProxy is dialProxy for a proxy spoken to over TLS. It is the
// operator's: a Connector's trust and client certificate are not for it.
func dialTLSProxy(ctx context.Context, network, hostport string) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: &tls.Config{MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, network, hostport)
	if err != nil && ctx.Err() == nil {
		return nil, proxyError(err)
	}
	return conn, err
}

// proxyError names the proxy as what fails, but not its address.
func proxyError(err error) error {
	why := "no connection"
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		why = errno.Error()
	}
	return Retry(0, "ProxyUnreachable", "the HTTP proxy of the driver's environment cannot be reached: %s", why)
}

// checkTunnel tells what a proxy answers that opens no tunnel.
func checkTunnel(_ context.Context, _ *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return Retry(0, "ProxyRefuses", "the HTTP proxy of the driver's environment answers %d when asked for a tunnel to %s", resp.StatusCode, req.Host)
}
