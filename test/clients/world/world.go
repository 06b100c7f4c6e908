// Package world puts a registry, its token server and a driver together: what
// a volume's whole life needs, and nothing shared with another world.
package world

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/pki"
	"github.com/regcred/csi-driver-regcred/test/clients/registry"
	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// The host names of a world; the sandbox must resolve them. The token server
// is of the registry's domain: a mirror (distribution) logs in to no other.
const (
	registryName  = "registry.test"
	tokensName    = "auth.registry.test"
	passwordsName = "htpasswd.test"
	mirrorName    = "mirror.test"
	intranetName  = "intranet.test"
	intranetAuth  = "auth.intranet.test"
)

// Hosts are the host names that the sandbox must know. The token server is a
// public service: oras-go follows a registry to another host only there.
func Hosts() map[string]string {
	hosts := map[string]string{
		registryName: sandbox.PrivateAddress, passwordsName: sandbox.PrivateAddress, mirrorName: sandbox.PrivateAddress,
		intranetName: sandbox.PrivateAddress, intranetAuth: sandbox.PrivateAddress,
		tokensName: sandbox.PublicAddress,
	}
	maps.Copy(hosts, hubHosts())
	return hosts
}

// World is a registry with its token server and, once started, other
// registries and a driver.
type World struct {
	Tokens   *tokenserver.Server
	Registry *registry.Server
	// Passwords is a registry with htpasswd, Mirror a pull-through mirror of
	// Registry, Intranet one whose token server is at a private address, Hub an
	// imitation of Docker Hub with a token server of its own. Each is nil before
	// it is started.
	Passwords, Mirror, Intranet, Hub *registry.Server
	HubTokens                        *tokenserver.Server

	Driver  *driver.Driver   // nil before StartDriver
	Kubelet *kubelet.Kubelet // nil before StartDriver

	dir        string
	authority  *pki.Authority
	serving    []*http.Server
	tokensHost string
}

// New starts a registry whose tokens live for life.
func New(ctx context.Context, life time.Duration) (_ *World, err error) {
	w := &World{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "w-"); err != nil { // short: unix sockets lie in it
		return w, err
	}
	for _, dir := range []string{filepath.Join(w.KubeletDir(), "pods"), w.manifests(), w.at("registry"), w.at("driver")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return w, err
		}
	}
	if w.authority, err = pki.New(); err != nil {
		return w, err
	}
	if err := os.WriteFile(w.CAFile(), w.authority.PEM(), 0o644); err != nil {
		return w, err
	}
	if w.Tokens, err = tokenserver.New(tokenserver.Config{Issuer: "regcred test tokens", Service: registryName, Life: life}); err != nil {
		return w, err
	}
	if w.tokensHost, err = w.serveTokens(w.Tokens, tokensName, sandbox.PublicAddress, "0"); err != nil {
		return w, err
	}
	host, err := freeHost(registryName)
	if err != nil {
		return w, err
	}
	w.Registry, err = registry.Start(ctx, registry.Config{
		Dir: w.at("registry"), Host: host, Realm: "https://" + w.tokensHost + "/token", Tokens: w.Tokens, Authority: w.authority,
	})
	return w, err
}

// serveTokens starts a token server and returns how clients call it.
func (w *World) serveTokens(tokens *tokenserver.Server, name, address, port string) (host string, err error) {
	config, err := w.authority.TLS(name)
	if err != nil {
		return "", err
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort(address, port), config)
	if err != nil {
		return "", err
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/token", tokens)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	w.serving = append(w.serving, server)
	go func() { _ = server.Serve(listener) }() // ends with Close
	return net.JoinHostPort(name, port), nil
}

// StartDriver starts the driver with the flags that a world needs and more.
func (w *World) StartDriver(ctx context.Context, flags ...string) (err error) {
	if w.Driver, err = driver.Start(ctx, driver.Config{
		Dir: w.at("driver"), KubeletDir: w.KubeletDir(), Connectors: w.manifests(), Flags: flags,
	}); err != nil {
		w.Driver = nil
		return err
	}
	if w.Kubelet, err = kubelet.New(w.KubeletDir(), w.Driver.Endpoint()); err != nil {
		return err
	}
	return w.Kubelet.Register(ctx)
}

// Close ends everything that the world started, in the order of dependence.
// The driver must end by itself.
func (w *World) Close() error {
	var errs []error
	if w.Kubelet != nil {
		errs = append(errs, w.Kubelet.Close())
	}
	if w.Driver != nil {
		errs = append(errs, w.Driver.Stop())
	}
	for _, r := range []*registry.Server{w.Mirror, w.Hub, w.Intranet, w.Passwords, w.Registry} {
		if r != nil {
			r.Close()
		}
	}
	for _, server := range w.serving {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// Image is a reference in the world's registry.
func (w *World) Image(repository, tag string) string {
	return w.Registry.Host() + "/" + repository + ":" + tag
}

// TokensHost is where the token server listens.
func (w *World) TokensHost() string { return w.tokensHost }

// CAFile holds the certificate of the authority behind both servers.
func (w *World) CAFile() string { return w.at("ca.crt") }

// CA is the content of CAFile.
func (w *World) CA() []byte { return w.authority.PEM() }

// KubeletDir is where volumes appear.
func (w *World) KubeletDir() string { return w.at("kubelet") }

func (w *World) manifests() string { return w.at("connectors") }

func (w *World) at(name string) string { return filepath.Join(w.dir, name) }

// freeHost finds a port below those that the kernel gives to connections, so
// that it is still free when the server listens.
func freeHost(name string) (string, error) {
	for range 50 {
		port := fmt.Sprint(10000 + rand.IntN(20000))
		l, err := net.Listen("tcp", net.JoinHostPort(sandbox.PrivateAddress, port))
		if err != nil {
			continue
		}
		return net.JoinHostPort(name, port), l.Close()
	}
	return "", errors.New("no free port")
}
