// Package registry runs the CNCF distribution registry as a process, with TLS,
// token authentication and its images in memory, and reads its access log.
package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
	"github.com/regcred/csi-driver-regcred/test/clients/pki"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
)

// Leeway is how long after its end a token is still accepted; it is fixed in
// distribution (registry/auth/token/token.go).
const Leeway = time.Minute

// Config is what a registry needs to serve. Its users log in with bearer
// tokens (Realm and Tokens) or with a password each (Users).
type Config struct {
	Dir       string   // for its files, exists
	Host      string   // host:port, where it listens and how clients call it
	Aliases   []string // further host names in its certificate
	Authority *pki.Authority

	Realm  string // the URL of the token server
	Tokens *tokenserver.Server

	Users map[string]string // user → password

	// Upstream makes it a pull-through mirror.
	Upstream *Upstream
}

// Upstream is the registry behind a mirror, and the mirror's own login there.
type Upstream struct {
	URL, User, Password string
	CAFile              string
}

// Server is a running registry.
type Server struct {
	host    string
	process *child.Process
	client  *http.Client
}

// Start runs a registry and waits until it answers.
func Start(ctx context.Context, c Config) (*Server, error) {
	name, _, err := net.SplitHostPort(c.Host)
	if err != nil {
		return nil, err
	}
	certificate, key, err := c.Authority.Server(append([]string{name}, c.Aliases...)...)
	if err != nil {
		return nil, err
	}
	at := func(name string) string { return filepath.Join(c.Dir, name) }
	files := map[string][]byte{tlsCertificate: certificate, tlsKey: key}
	if err := c.configure(files); err != nil {
		return nil, err
	}
	for name, content := range files {
		if err := os.WriteFile(at(name), content, 0o600); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("registry", "serve", configFile)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if c.Upstream != nil {
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+c.Upstream.CAFile)
	}
	process, err := child.Start("registry", cmd, at("registry.log"))
	if err != nil {
		return nil, err
	}
	s := &Server{host: c.Host, process: process, client: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Authority.Pool(), MinVersion: tls.VersionTLS12}},
		Timeout:   10 * time.Second,
	}}
	ready := func(ctx context.Context) error {
		_, err := s.Ask(ctx, http.MethodGet, "/v2/", "")
		return err
	}
	if err := process.Ready(ctx, ready); err != nil {
		process.Kill()
		return nil, err
	}
	return s, nil
}

// Host is how clients call the registry.
func (s *Server) Host() string { return s.host }

// Close ends the registry.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	s.process.Kill()
}

// Ask sends a bare request with a bearer token, or with none, and returns the
// status.
func (s *Server) Ask(ctx context.Context, method, path, bearer string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+s.host+path, nil)
	if err != nil {
		return 0, err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// Access is one line of the access log.
type Access struct {
	Method, Path string
	Status       int
	UserAgent    string
}

var accessLine = regexp.MustCompile(`(?m)^\S+ \S+ \S+ \[[^\]]+\] "(\S+) (\S+) [^"]*" (\d{3}) \d+ "[^"]*" "([^"]*)"$`)

// Accesses is the access log, oldest first.
func (s *Server) Accesses() []Access {
	var all []Access
	for _, m := range accessLine.FindAllStringSubmatch(s.process.Log(), -1) {
		status, _ := strconv.Atoi(m[3]) // three digits, says the expression
		all = append(all, Access{Method: m[1], Path: m[2], Status: status, UserAgent: m[4]})
	}
	return all
}
