package formats

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	docker1 "github.com/containerd/containerd/remotes/docker"
	config1 "github.com/containerd/containerd/remotes/docker/config"
	docker2 "github.com/containerd/containerd/v2/core/remotes/docker"
	config2 "github.com/containerd/containerd/v2/core/remotes/docker/config"
)

// containerd asks a mirror with a path where a registry answers, trusts it by
// the CA of its own host and shows it the certificate of its own host.
func TestContainerdAsksTheMirror(t *testing.T) {
	const (
		image  = "docker.io/library/alpine:latest"
		want   = "HEAD z.example/v2/dockerhub/library/alpine/manifests/latest"
		digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	)
	m := mount(t, volumes(t)["containerd-mirrors"])
	asked := make(chan string, 16)
	mirror := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host + r.URL.Path
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest)
		w.Header().Set("Content-Length", "2")
	}))
	clients := x509.NewCertPool()
	clients.AddCert(m.certs["client"])
	mirror.TLS = &tls.Config{
		Certificates: []tls.Certificate{m.signedBy(t, "z", "z.example")},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	mirror.StartTLS()
	defer mirror.Close()
	atMirror := func(c *http.Client) error {
		c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, mirror.Listener.Addr().String())
		}
		return nil
	}

	hosts1 := config1.ConfigureHosts(t.Context(), config1.HostOptions{HostDir: config1.HostDirFromRoot(m.root), UpdateClient: atMirror})
	_, found1, err := docker1.NewResolver(docker1.ResolverOptions{Hosts: hosts1}).Resolve(t.Context(), image)
	if err != nil || found1.Digest != digest {
		t.Fatalf("containerd 1.6: %v, %v", found1, err)
	}
	if got := <-asked; got != want {
		t.Errorf("containerd 1.6 asks %s, want %s", got, want)
	}

	hosts2 := config2.ConfigureHosts(t.Context(), config2.HostOptions{HostDir: config2.HostDirFromRoot(m.root), UpdateClient: atMirror})
	_, found2, err := docker2.NewResolver(docker2.ResolverOptions{Hosts: hosts2}).Resolve(t.Context(), image)
	if err != nil || found2.Digest != digest {
		t.Fatalf("containerd 2: %v, %v", found2, err)
	}
	if got := <-asked; got != want {
		t.Errorf("containerd 2 asks %s, want %s", got, want)
	}
}

// signedBy makes a server's certificate under one of the volume's CAs.
func (m *mounted) signedBy(t *testing.T, ca, host string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1000), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, m.certs[ca], m.key.Public(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key}
}
