// Package front gives a registry another address: plain HTTP, or TLS with a
// certificate that can be exchanged while clients come and go, also one where
// clients need a certificate of their own. It counts what comes through it.
package front

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/pki"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
)

// Config says what is behind a front, and how it is called.
type Config struct {
	// Name is the host name by which clients call it.
	Name string
	// Registry is the host:port of the registry behind it, and CA is who
	// signed that one's certificate.
	Registry string
	CA       []byte
	// Authority signs the front's certificate; nil means plain HTTP.
	Authority *pki.Authority
	// Clients signs the certificates that clients have to show; nil means none.
	Clients *pki.Authority
}

// Front is a running server.
type Front struct {
	name, host string
	serving    *http.Server

	mu          sync.Mutex
	certificate *tls.Certificate
	clients     *pki.Authority
	pulls       int
}

// Start serves until Close.
func Start(c Config) (*Front, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(sandbox.PrivateAddress, "0"))
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	f := &Front{name: c.Name, host: net.JoinHostPort(c.Name, port), clients: c.Clients}
	scheme := "http"
	if c.Authority != nil {
		scheme = "https"
		if err := f.Present(c.Authority); err != nil {
			return nil, err
		}
		listener = tls.NewListener(listener, &tls.Config{GetConfigForClient: f.terms, MinVersion: tls.VersionTLS12})
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(c.CA)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: c.Registry})
			// The registry writes absolute URLs of uploads by these.
			r.Out.Header.Set("X-Forwarded-Host", r.In.Host)
			r.Out.Header.Set("X-Forwarded-Proto", scheme)
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, MinVersion: tls.VersionTLS12}},
	}
	f.serving = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.admits(r) {
			http.Error(w, "no required TLS certificate was sent", http.StatusBadRequest)
			return
		}
		f.count(r)
		proxy.ServeHTTP(w, r)
	})}
	// A new certificate is seen by every request that follows.
	f.serving.SetKeepAlivesEnabled(false)
	go func() { _ = f.serving.Serve(listener) }() // ends with Close
	return f, nil
}

// Host is how clients call the front.
func (f *Front) Host() string { return f.host }

// Present exchanges the certificate for one that another authority signed.
func (f *Front) Present(authority *pki.Authority) error {
	config, err := authority.TLS(f.name)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.certificate = &config.Certificates[0]
	return nil
}

// Demand exchanges the authority of the certificates that clients have to show.
func (f *Front) Demand(clients *pki.Authority) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = clients
}

// terms are those of the next connection. Like nginx, the front refuses a
// client without a certificate by an answer, which no client can miss; one with
// a wrong certificate gets no connection.
func (f *Front) terms(*tls.ClientHelloInfo) (*tls.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	config := &tls.Config{Certificates: []tls.Certificate{*f.certificate}, MinVersion: tls.VersionTLS12}
	if f.clients != nil {
		config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, f.clients.Pool()
	}
	return config, nil
}

func (f *Front) admits(r *http.Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clients == nil || len(r.TLS.PeerCertificates) > 0
}

// Pulls counts the requests for manifests: clients may have the layers from
// elsewhere.
func (f *Front) Pulls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pulls
}

func (f *Front) count(r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method != http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
		f.pulls++
	}
}

// Close ends the front.
func (f *Front) Close() error { return f.serving.Close() }
