package issuertest

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Fault answers in place of the right handler.
type Fault func(w http.ResponseWriter, r *http.Request, right http.Handler)

// Server serves a provider's imitation over TLS on loopback and can make one
// request fail.
type Server struct {
	*httptest.Server
	right http.Handler

	mu    sync.Mutex
	count int
	at    int // of the request to fail, counted from FailAt
	fault Fault
}

// NewServer starts a Server that ends with the test.
func NewServer(t *testing.T, provider http.Handler) *Server {
	t.Helper()
	s := &Server{right: provider}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

// Host is host:port.
func (s *Server) Host() string { return s.Listener.Addr().String() }

// CA is the PEM of the certificate to trust.
func (s *Server) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
}

// Registry declares the Server as a Connector would.
func (s *Server) Registry() connector.Registry {
	return connector.Registry{Host: s.Host(), TLS: connector.TLS{CABundle: s.CA()}}
}

// Count returns the requests since it was called last.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count
	s.count = 0
	return n
}

// FailAt lets the n-th request from now, counted from 0, meet the fault.
func (s *Server) FailAt(n int, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.fault = n, fault
}

// Armed reports whether the fault still waits for its request.
func (s *Server) Armed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault != nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count++
	var fault Fault
	if s.fault != nil {
		if s.at == 0 {
			fault, s.fault = s.fault, nil
		}
		s.at--
	}
	s.mu.Unlock()
	if fault != nil {
		fault(w, r, s.right)
		return
	}
	s.right.ServeHTTP(w, r)
}

// writeEcho puts everything that was sent into the error shapes that providers
// document.
func writeEcho(w http.ResponseWriter, r *http.Request, status int) {
	body, _ := io.ReadAll(r.Body) // what arrived is enough
	form, _ := url.QueryUnescape(string(body))
	user, password, _ := r.BasicAuth()
	echo := strings.Join([]string{r.Header.Get("Authorization"), user, password, string(body), form}, " ")
	shapes := map[string]any{
		"errors": []map[string]string{{"code": echo, "message": echo}},
		"error":  echo, "error_description": echo, "details": echo, "detail": echo, "message": echo,
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(shapes) // the client may hang up
}
