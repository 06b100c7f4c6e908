package issuers

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Which registry's trust a request gets: the scheme's own port may be written
// or left out, and the other scheme's port is a port like any other.
func TestTrustByPort(t *testing.T) {
	registry := func(host string, plain bool) Trust {
		return Trust{Registry: connector.Registry{Host: host, PlainHTTP: plain}}
	}
	guard, err := NewGuard(Policy{Proxy: &httpproxy.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		declared []Trust
		url      string
		want     string // the declared host whose trust counts, empty = none
	}{
		"as declared":                     {[]Trust{registry("h", false)}, "https://h/", "h"},
		"its port written":                {[]Trust{registry("h", false)}, "https://h:443/", "h"},
		"its port declared":               {[]Trust{registry("h:443", false)}, "https://H/", "h:443"},
		"TLS on port 80 is not port 443":  {[]Trust{registry("h:80", false)}, "https://h/", ""},
		"TLS on port 80":                  {[]Trust{registry("h", false), registry("h:80", false)}, "https://h:80/", "h:80"},
		"beside plain HTTP":               {[]Trust{registry("h", false), registry("h:80", true)}, "https://h/", "h"},
		"plain HTTP beside it":            {[]Trust{registry("h", false), registry("h:80", true)}, "http://h/", "h:80"},
		"plain HTTP on port 443":          {[]Trust{registry("h:443", true)}, "https://h/", ""},
		"Docker Hub's registry":           {[]Trust{registry("docker.io", false)}, "https://registry-1.docker.io/v2/", "docker.io"},
		"Docker Hub's registry with port": {[]Trust{registry("docker.io", false)}, "https://registry-1.docker.io:443/v2/", "docker.io"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			transport, err := guard.newTransport(ClientOptions{Registries: test.declared})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			got, err := transport.route(u)
			if err != nil {
				t.Fatal(err)
			}
			want := transport.paths[endpoint{}].direct
			for _, r := range test.declared {
				if r.Host == test.want {
					want = transport.paths[declaredEndpoint(r.Registry)].direct
				}
			}
			if got != want {
				t.Errorf("the request does not get the trust of %q", test.want)
			}
		})
	}
}

// One host with two settings would be verified by the one that happens to be
// last.
func TestOneTrustPerHost(t *testing.T) {
	guard, err := NewGuard(Policy{Proxy: &httpproxy.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	strict, lax := Trust{Registry: connector.Registry{Host: "h"}}, Trust{Registry: connector.Registry{Host: "h:443"}}
	if _, err := guard.newTransport(ClientOptions{Registries: []Trust{strict, lax}}); err != nil {
		t.Errorf("the same settings twice: %v", err)
	}
	lax.TLS.InsecureSkipVerify = true
	_, err = guard.newTransport(ClientOptions{Registries: []Trust{strict, lax}})
	if err == nil {
		t.Fatal("h with and without verification is taken")
	}
	want := "registries h and h:443 are one host with different tls settings: give both the same, or leave one out"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	var e *Error
	if !errors.As(err, &e) || e.Class != Terminal || e.Reason != "RegistryAmbiguous" {
		t.Errorf("error is %#v", err)
	}
}

// The operator's rules mean Docker Hub by each of its names, with and without
// a port.
func TestRulesKnowDockerHubsNames(t *testing.T) {
	for rule, matches := range map[string]bool{
		"docker.io": true, "registry-1.docker.io": true, "registry-1.docker.io:443": true, "index.docker.io:443": true, "*.docker.io:443": true,
		"registry-1.docker.io:5000": false,
	} {
		d, err := parseDestination(rule)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.namesHost("registry-1.docker.io", "443"); got != matches {
			t.Errorf("%s names registry-1.docker.io:443: %v", rule, got)
		}
	}
}
