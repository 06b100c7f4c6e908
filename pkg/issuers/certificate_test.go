package issuers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// certify makes a certificate that is its own authority, good for TLS servers
// of the given names unless it is changed.
func certify(t *testing.T, change func(*x509.Certificate), names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func authority(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// serveTLS listens on loopback until the test ends.
func serveTLS(t *testing.T, config *tls.Config, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = config
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are what is tested
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestCertificates: a server is believed for one reason only.
func TestCertificates(t *testing.T) {
	const (
		host      = "registry.test"
		untrusted = "host HOST shows a certificate that is not trusted: "
		giveCA    = "; give its CA under spec.registries[].tls"
		refuses   = "host HOST refuses the TLS connection"
		speak     = ": it must speak TLS 1.2 or newer and HTTP/1.1; a client certificate that it asks for is given under spec.registries[].tls"
	)
	shown := func(change func(*x509.Certificate), names ...string) tls.Certificate {
		return certify(t, change, names...)
	}
	good := shown(nil, host)
	tests := map[string]struct {
		shows  tls.Certificate
		trusts []byte // nil = what is shown
		change func(*tls.Config)
		skip   bool
		want   string // empty = it is called
	}{
		"trusted":                  {shows: good},
		"self-signed":              {shows: good, trusts: []byte{}, want: untrusted + "its authority is unknown" + giveCA},
		"of another authority":     {shows: good, trusts: authority(shown(nil, host)), want: untrusted + "its authority is unknown" + giveCA},
		"for another host":         {shows: shown(nil, "other.test"), want: untrusted + "it is for another host name" + giveCA},
		"for a wildcard beside it": {shows: shown(nil, "*.registry.test"), want: untrusted + "it is for another host name" + giveCA},
		"by its common name":       {shows: shown(func(c *x509.Certificate) { c.Subject.CommonName = host }), want: untrusted + "it is for another host name" + giveCA},
		"expired":                  {shows: shown(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, host), want: untrusted + "it has expired or is not valid yet" + giveCA},
		"not valid yet":            {shows: shown(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, host), want: untrusted + "it has expired or is not valid yet" + giveCA},
		"for clients":              {shows: shown(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, host), want: untrusted + "it does not verify" + giveCA},
		"verification skipped":     {shows: shown(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, "other.test"), skip: true},
		"old TLS":                  {shows: good, change: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, want: refuses + " (protocol version not supported)" + speak},
		"HTTP/2 and HTTP/1.1":      {shows: good, change: func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }},
		"a client certificate":     {shows: good, change: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, want: refuses + " (certificate required)" + speak},
		"with an odd name":         {shows: shown(func(c *x509.Certificate) { c.DNSNames = []string{"a\nb"} }), want: untrusted + "it is for another host name" + giveCA},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{Certificates: []tls.Certificate{test.shows}}
			if test.change != nil {
				test.change(config)
			}
			server := serveTLS(t, config, func(http.ResponseWriter, *http.Request) {})
			guard, err := NewGuard(Policy{AllowLoopback: true, AllowedHosts: []string{"127.0.0.0/8"}, Proxy: &httpproxy.Config{}})
			if err != nil {
				t.Fatal(err)
			}
			names := &nameServer{answers: map[string][]string{host: {"127.0.0.1"}}, asked: map[string]int{}}
			guard.resolver = names.resolver(t)
			trusts := test.trusts
			if trusts == nil {
				trusts = authority(test.shows)
			}
			hostport := at(t, host, server)
			trust := Trust{Registry: connector.Registry{Host: hostport, TLS: connector.TLS{InsecureSkipVerify: test.skip}}, CA: trusts}
			err = get(t, guard, ClientOptions{Registries: []Trust{trust}}, "https://"+hostport+"/")
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if got := strings.ReplaceAll(fmt.Sprint(err), hostport, "HOST"); got != test.want {
				t.Errorf("got %s\nwant %s", got, test.want)
			}
		})
	}
}

// at is host:port of a server by another name.
func at(t *testing.T, host string, server *httptest.Server) string {
	t.Helper()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, port)
}

// get makes one call with a client of its own.
func get(t *testing.T, guard *Guard, o ClientOptions, url string) error {
	t.Helper()
	c, err := guard.Client(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Call(c, req)
	return err
}
