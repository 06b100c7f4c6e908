package issuers

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpproxy"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// disguises are the IPv6 addresses by which a packet may reach an IPv4 one.
func disguises(a [4]byte) map[string]netip.Addr {
	with := func(prefix string, at ...int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		for i, position := range at {
			b[position] = a[i]
		}
		return netip.AddrFrom16(b)
	}
	inverted := with("2001:0:808:808::", 12, 13, 14, 15).As16()
	for i := 12; i < 16; i++ {
		inverted[i] = ^inverted[i]
	}
	return map[string]netip.Addr{
		"IPv4-mapped": with("::ffff:0:0", 12, 13, 14, 15), "IPv4-translated": with("::ffff:0:0:0", 12, 13, 14, 15), "IPv4-compatible": with("::", 12, 13, 14, 15),
		"NAT64": with("64:ff9b::", 12, 13, 14, 15), "local NAT64 /48": with("64:ff9b:1::", 6, 7, 9, 10), "local NAT64 /96": with("64:ff9b:1:2:3:4::", 12, 13, 14, 15),
		"6to4": with("2002::1", 2, 3, 4, 5), "Teredo server": with("2001::f7f7:f7f7", 4, 5, 6, 7), "Teredo client": netip.AddrFrom16(inverted), "ISATAP": with("2a00::5efe:0:0", 12, 13, 14, 15),
	}
}

// FuzzForbidden holds the verdict on addresses to what package netip says of
// them, and every disguise to what it hides.
func FuzzForbidden(f *testing.F) {
	for _, seed := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "8.8.8.8", "::1", "fe80::1", "100.100.100.200", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "224.0.0.1", "0.0.0.1"} {
		b := netip.MustParseAddr(seed).As16()
		f.Add(b[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		plain := addr.Unmap()
		bad := plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified() || plain.IsInterfaceLocalMulticast()
		if bad && forbidden(addr) == "" {
			t.Errorf("%s is allowed", addr)
		}
		if plain.IsPrivate() && plain.Is4() && forbidden(addr) != "" {
			t.Errorf("%s is refused as %s", addr, forbidden(addr))
		}
		if forbidden(addr) != forbidden(addr.WithZone("eth0")) || forbidden(addr) != forbidden(plain) {
			t.Errorf("%s is judged by its spelling", addr)
		}
		if !plain.Is4() || plain.As4()[0] == 0 {
			return
		}
		for how, disguised := range disguises(plain.As4()) {
			if (forbidden(disguised) != "") != (forbidden(plain) != "") && !(how == "local NAT64 /48" || how == "local NAT64 /96") {
				t.Errorf("%s of %s (%s): %q", how, plain, disguised, forbidden(disguised))
			}
			if forbidden(plain) != "" && forbidden(disguised) == "" {
				t.Errorf("%s hides in %s (%s)", plain, disguised, how)
			}
		}
	})
}

// FuzzRoute: whatever a Connector or a registry writes as a URL, it is refused
// or leads to a host that a rule knows; and through a proxy go only hosts that
// the operator named.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{
		"https://r.corp.test/token", "https://u:p@r.corp.test/", "http://r.corp.test/", "https://169.254.169.254/", "https://2852039166/", "https://0xa9.0xfe.43518/", "https://0251.0376.0251.0376",
		"https://[::ffff:a9fe:a9fe]/", "https://[fe80::1%25eth0]/", "https://r.corp.test./", "https://１６９.２５４.１６９.２５４/", "https://R.CORP.TEST:443/", "https:r.corp.test", "//r.corp.test/", "https:///x",
		"https://r.corp.test:0/", "https://r.corp.test:99999/", "ftp://r.corp.test/", "https://r.corp.test@evil.test/", "https://evil.test\\@r.corp.test/", "https://r.corp.test%2eevil.test/", "https://xn--r-.corp.test/",
	} {
		f.Add(seed)
	}
	named := "r.corp.test"
	guards := map[bool]*Guard{}
	for _, proxied := range []bool{false, true} {
		config := &httpproxy.Config{}
		if proxied {
			config = &httpproxy.Config{HTTPSProxy: "http://proxy.test:3128", HTTPProxy: "http://proxy.test:3128"}
		}
		guard, err := NewGuard(Policy{AllowedHosts: []string{named, "10.0.0.0/8"}, Audiences: map[string][]string{"sts": {named}}, Proxy: config})
		if err != nil {
			f.Fatal(err)
		}
		guards[proxied] = guard
	}
	declared := []Trust{{Registry: connector.Registry{Host: named}}}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		for proxied, guard := range guards {
			for _, audiences := range [][]string{nil, {"sts"}} {
				transport, err := guard.newTransport(ClientOptions{Registries: declared, Audiences: audiences})
				if err != nil {
					t.Fatal(err)
				}
				via, err := transport.route(u)
				if err != nil {
					if ClassOf(err) != Terminal {
						t.Errorf("%v is %s", err, ClassOf(err))
					}
					continue
				}
				host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
				if u.Scheme != "https" || u.User != nil || host == "" {
					t.Errorf("%q is let through", text)
				}
				if len(audiences) > 0 && host != named {
					t.Errorf("a token goes to %q", u.Host)
				}
				isProxied := slices.ContainsFunc(allPaths(transport), func(p path) bool { return p.proxied == via })
				if addr, err := netip.ParseAddr(host); proxied && isProxied && host != named && (err != nil || !netip.MustParsePrefix("10.0.0.0/8").Contains(addr.Unmap())) {
					t.Errorf("%q goes through the proxy", u.Host)
				}
			}
		}
	})
}

func allPaths(t *transport) []path {
	var all []path
	for _, p := range t.paths {
		all = append(all, p)
	}
	return all
}
