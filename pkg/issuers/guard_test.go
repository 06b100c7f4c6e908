package issuers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopbackAllowed = issuers.Policy{AllowLoopback: true, AllowedHosts: []string{"127.0.0.0/8"}, Proxy: &httpproxy.Config{}}

func client(t *testing.T, p issuers.Policy, o issuers.ClientOptions) *http.Client {
	t.Helper()
	guard, err := issuers.NewGuard(p)
	if err != nil {
		t.Fatal(err)
	}
	c, err := guard.Client(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func call(ctx context.Context, t *testing.T, c *http.Client, url string, secrets ...connector.Secret) (*issuers.Answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return issuers.Call(c, req, secrets...)
}

// refused checks class, reason and whole text; HOST stands for host.
func refused(t *testing.T, err error, class issuers.Class, reason, text, host string) {
	t.Helper()
	var e *issuers.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v", err)
	}
	got := strings.ReplaceAll(e.Error(), host, "HOST")
	if e.Class != class || e.Reason != reason || got != text {
		t.Errorf("got %s %s %q,\nwant %s %s %q", e.Class, e.Reason, got, class, reason, text)
	}
}

func trusted(s *httptest.Server, change func(*issuers.Trust)) issuers.Trust {
	trust := issuers.Trust{
		Registry: connector.Registry{Host: s.Listener.Addr().String()},
		CA:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}),
	}
	if change != nil {
		change(&trust)
	}
	return trust
}

func fine(http.ResponseWriter, *http.Request) {}

func TestTrustIsPerHost(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(fine))
	defer server.Close()
	host := server.Listener.Addr().String()
	other := issuers.Trust{Registry: connector.Registry{Host: "other.test"}}
	untrusted := "host HOST shows a certificate that is not trusted: its authority is unknown; give its CA under spec.registries[].tls"
	tests := map[string]struct {
		registries []issuers.Trust
		want       string
	}{
		"nothing declared":           {nil, untrusted},
		"its CA":                     {[]issuers.Trust{trusted(server, nil)}, ""},
		"verification skipped":       {[]issuers.Trust{trusted(server, func(t *issuers.Trust) { t.CA = nil; t.TLS.InsecureSkipVerify = true })}, ""},
		"skipped for another host":   {[]issuers.Trust{trusted(server, func(t *issuers.Trust) { *t = other; t.TLS.InsecureSkipVerify = true })}, untrusted},
		"the CA of another registry": {[]issuers.Trust{trusted(server, func(t *issuers.Trust) { t.Registry = other.Registry })}, ""},
		"that CA, but its own entry has none": {[]issuers.Trust{
			trusted(server, func(t *issuers.Trust) { t.Registry = other.Registry }),
			trusted(server, func(t *issuers.Trust) { t.CA = nil }),
		}, untrusted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: test.registries})
			_, err := call(t.Context(), t, c, server.URL)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, issuers.Terminal, "CertificateNotTrusted", test.want, host)
		})
	}
}

func TestClientCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string, 2)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		name := ""
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		names <- name
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	defer server.Close()
	withPair := func(trust *issuers.Trust) {
		trust.ClientCertificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		trust.ClientKey = connector.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	}
	for name, test := range map[string]struct {
		change func(*issuers.Trust)
		want   string
	}{
		"shown to its host":      {withPair, "client"},
		"not shown to any other": {func(t *issuers.Trust) { withPair(t); t.Host = "other.test" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{trusted(server, test.change)}})
			if _, err := call(t.Context(), t, c, server.URL); err != nil {
				t.Fatal(err)
			}
			if got := <-names; got != test.want {
				t.Errorf("the server sees %q, want %q", got, test.want)
			}
		})
	}
}

const notPlain = " is refused over plain HTTP: neither is it declared with http:// or plainHTTP, nor does a registry that is name it as its token server"

// A registry over plain HTTP may name a token server over plain HTTP, but not
// send its login to a host that the Connector declares with TLS.
func TestPlainTokenServer(t *testing.T) {
	tokens := httptest.NewServer(http.HandlerFunc(fine))
	defer tokens.Close()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+tokens.URL+`/token",service="r"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer registry.Close()
	plain := issuers.Trust{Registry: connector.Registry{Host: strings.Replace(registry.Listener.Addr().String(), "127.0.0.1", "localhost", 1), PlainHTTP: true}}
	secure := issuers.Trust{Registry: connector.Registry{Host: "127.0.0.1:5000"}}
	policy := issuers.Policy{AllowLoopback: true, AllowedHosts: []string{"127.0.0.0/8", "::1", "localhost"}, Proxy: &httpproxy.Config{}}
	for name, test := range map[string]struct {
		registries []issuers.Trust
		asked      bool // the registry, before its token server
		want       string
	}{
		"named":                   {[]issuers.Trust{plain}, true, ""},
		"not named yet":           {[]issuers.Trust{plain}, false, notPlain},
		"named, but declared TLS": {[]issuers.Trust{plain, secure}, true, notPlain},
	} {
		t.Run(name, func(t *testing.T) {
			c := client(t, policy, issuers.ClientOptions{Registries: test.registries})
			if test.asked {
				if _, err := call(t.Context(), t, c, "http://"+plain.Host+"/v2/"); err != nil {
					t.Fatal(err)
				}
			}
			_, err := call(t.Context(), t, c, tokens.URL+"/token")
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, issuers.Terminal, "DestinationRefused", "host HOST"+test.want, tokens.Listener.Addr().String())
		})
	}
}

func TestDestinations(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(fine))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	declared := func(host string, plain bool) issuers.Trust {
		return issuers.Trust{Registry: connector.Registry{Host: host, PlainHTTP: plain}}
	}
	plain := issuers.ClientOptions{Registries: []issuers.Trust{declared("127.0.0.1:"+port, true), declared("localhost:"+port, true)}}
	bound := plain
	bound.Audiences = []string{"a", "b"}
	audiences := func(b string) issuers.Policy {
		p := loopbackAllowed
		p.Audiences = map[string][]string{"a": {"127.0.0.1"}, "b": {b}}
		return p
	}
	tests := map[string]struct {
		policy  issuers.Policy
		options issuers.ClientOptions
		url     string
		want    string
	}{
		"allowed":                         {loopbackAllowed, plain, "http://127.0.0.1:" + port, ""},
		"a name that means loopback":      {issuers.Policy{Proxy: &httpproxy.Config{}}, plain, "http://localhost:" + port, "host localhost is refused: it is a loopback address"},
		"plain HTTP that nobody declared": {loopbackAllowed, issuers.ClientOptions{}, "http://127.0.0.1:" + port, "host 127.0.0.1:" + port + notPlain},
		"plain HTTP of another host":      {loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{declared("r.io", true), declared("127.0.0.1:"+port, false)}}, "http://127.0.0.1:" + port, "host 127.0.0.1:" + port + notPlain},
		"plain HTTP of another port":      {loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{declared("127.0.0.1:5000", true)}}, "http://127.0.0.1:" + port, "host 127.0.0.1:" + port + notPlain},
		"a user in the address":           {loopbackAllowed, plain, "http://u:p@127.0.0.1:" + port, "address of host 127.0.0.1:" + port + " is refused: it holds a user name"},
		"audiences bound":                 {audiences("127.0.0.1:" + port), bound, "http://127.0.0.1:" + port, ""},
		"one audience not bound": {
			audiences("sts.example.com"), bound, "http://127.0.0.1:" + port,
			`host 127.0.0.1:` + port + ` is not bound to audience "b": add --audience b=127.0.0.1 to the driver (chart value tokenAudiences) if its tokens may go there`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := call(t.Context(), t, client(t, test.policy, test.options), test.url)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, issuers.Terminal, "DestinationRefused", test.want, "\x00")
		})
	}
	t.Run("audiences are checked before there is a client", func(t *testing.T) {
		guard, err := issuers.NewGuard(issuers.Policy{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := guard.Client(issuers.ClientOptions{Audiences: []string{"x"}}); err == nil {
			t.Error("a client was made for an audience that is bound to no host")
		}
	})
}

// Behind a proxy the address of a host cannot be seen: only named hosts go.
func TestProxy(t *testing.T) {
	target := httptest.NewTLSServer(http.HandlerFunc(fine))
	defer target.Close()
	var tunnels []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tunnels = append(tunnels, r.Method+" "+r.Host)
		upstream, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", target.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = upstream.Close() }()
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		// The client speaks first only after this answer, so nothing of it is
		// lost in the server's buffer.
		if _, err := io.WriteString(conn, "HTTP/1.1 200 Connected\r\n\r\n"); err != nil {
			t.Error(err)
			return
		}
		go func() { _, _ = io.Copy(upstream, conn) }() // ends with the connections
		_, _ = io.Copy(conn, upstream)
	}))
	defer proxy.Close()
	policy := issuers.Policy{AllowedHosts: []string{"example.com", "*", "10.0.0.0/8", "169.254.0.0/16"}, Proxy: &httpproxy.Config{HTTPSProxy: proxy.URL}}
	options := issuers.ClientOptions{Registries: []issuers.Trust{trusted(target, func(t *issuers.Trust) { t.Host = "example.com" })}}
	c := client(t, policy, options)
	if _, err := call(t.Context(), t, c, "https://example.com/"); err != nil {
		t.Fatal(err)
	}
	if len(tunnels) != 1 || tunnels[0] != "CONNECT example.com:443" {
		t.Errorf("the proxy saw %q", tunnels)
	}
	for url, want := range map[string]string{
		"https://internal.corp.test/": "host internal.corp.test:443 is reached through an HTTP proxy, where its address cannot be checked: name it in --allowed-hosts",
		"https://169.254.169.254/":    "host 169.254.169.254 is refused: it is a link-local or metadata address",
		"https://2852039166/":         "host 2852039166 is refused: write addresses in their usual form",
		"https://0xa9.0xfe.43518/":    "host 0xa9.0xfe.43518 is refused: write addresses in their usual form",
	} {
		t.Run(url, func(t *testing.T) {
			_, err := call(t.Context(), t, c, url)
			refused(t, err, issuers.Terminal, "DestinationRefused", want, "\x00")
		})
	}
	if len(tunnels) != 1 {
		t.Errorf("the proxy saw %q", tunnels)
	}
}

func TestTimeLimitCoversTheBody(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_ = http.NewResponseController(w).Flush() // an error shows below
		<-r.Context().Done()
	}))
	defer server.Close()
	c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{trusted(server, nil)}, Timeout: 50 * time.Millisecond})
	_, err := call(t.Context(), t, c, server.URL)
	refused(t, err, issuers.Retryable, "Timeout", "host HOST gave no complete answer in time", server.Listener.Addr().String())
}

func TestFailuresAreToldInWords(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(fine))
	host := gone.Listener.Addr().String()
	gone.Close()
	plain := httptest.NewServer(http.HandlerFunc(fine))
	defer plain.Close()
	c := client(t, loopbackAllowed, issuers.ClientOptions{})
	_, err := call(t.Context(), t, c, "https://"+host+"/?password=x")
	refused(t, err, issuers.Retryable, "Unreachable", "host HOST cannot be reached: connection refused", host)
	_, err = call(t.Context(), t, c, strings.Replace(plain.URL, "http", "https", 1))
	refused(t, err, issuers.Terminal, "NotTLS", "host HOST does not speak TLS: write http:// or plainHTTP: true in the Connector if that is meant", plain.Listener.Addr().String())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = call(ctx, t, c, "https://"+host)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	refused(t, err, issuers.Retryable, "Cancelled", "calling host HOST was cut off: context canceled", host)
}

func TestRedirects(t *testing.T) {
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/within":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/down":
			http.Redirect(w, r, "http://"+server.Listener.Addr().String()+"/end", http.StatusFound)
		case "/port":
			http.Redirect(w, r, "https://127.0.0.1:1/end", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	}))
	defer server.Close()
	host := server.Listener.Addr().String()
	c := client(t, loopbackAllowed, issuers.ClientOptions{Registries: []issuers.Trust{trusted(server, func(t *issuers.Trust) { t.PlainHTTP = true })}})
	if answer, err := call(t.Context(), t, c, server.URL+"/within"); err != nil || answer.Status != http.StatusOK {
		t.Errorf("a redirect within the origin: %v", err)
	}
	const elsewhere = "host HOST redirects to another origin, which is not followed: write the final address in the Connector"
	for path, want := range map[string]string{"/down": elsewhere, "/port": elsewhere, "/loop": "host HOST redirects more than 3 times"} {
		_, err := call(t.Context(), t, c, server.URL+path)
		refused(t, err, issuers.Terminal, "RedirectRefused", want, host)
	}
}
