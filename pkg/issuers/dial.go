package issuers

import (
	"context"
	"net"
	"net/netip"
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
		Timeout: dialTimeout,
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
	return d.DialContext(ctx, network, hostport)
}
