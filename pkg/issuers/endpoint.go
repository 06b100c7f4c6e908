package issuers

import (
	"net/url"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// endpoint is where a URL leads, in one spelling: Docker Hub's names are one,
// and the port is the scheme's where none is written. The scheme belongs to
// it, because what port 80 is called over TLS and what it is called without
// are two things.
type endpoint struct{ scheme, host, port string }

func newEndpoint(scheme, hostport string) endpoint {
	host, port := connector.SplitPort(hostport)
	if canonical, err := connector.CanonicalHost(host); err == nil {
		host = canonical
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return endpoint{scheme: scheme, host: host, port: port}
}

func endpointOf(u *url.URL) endpoint { return newEndpoint(strings.ToLower(u.Scheme), u.Host) }

// declaredEndpoint is where the trust of a registry counts.
func declaredEndpoint(r connector.Registry) endpoint {
	if r.PlainHTTP {
		return newEndpoint("http", r.Host)
	}
	return newEndpoint("https", r.Host)
}

// String is host:port.
func (e endpoint) String() string { return e.host + ":" + e.port }
