package issuers

import (
	"net/netip"
	"testing"
)

func TestForbidden(t *testing.T) {
	const (
		link     = "a link-local or metadata address"
		metadata = "a metadata address"
		inside   = " inside an IPv6 address"
	)
	tests := map[string]string{
		"8.8.8.8": "", "10.1.2.3": "", "192.168.0.1": "", "fd00::1": "", "2001:4860:4860::8888": "", "64:ff9b::808:808": "", "64:ff9b:1::808:808": "", "2002:808:808::1": "",
		"127.0.0.1": loopback, "127.255.0.1": loopback, "::1": loopback, "::ffff:127.0.0.1": loopback,
		"0.0.0.0": "an unspecified address", "0.1.2.3": "an unspecified address", "::": "an unspecified address",
		"169.254.169.254": link, "fe80::1": link, "fe80::1%eth0": link, "febf::1": link, "::ffff:169.254.169.254": link,
		"224.0.0.1": "a multicast address", "ff02::1": "a multicast address", "255.255.255.255": "a reserved address",
		"192.0.0.192": metadata, "100.100.100.200": metadata, "168.63.129.16": metadata, "fd00:ec2::254": metadata, "fd20:ce::254": metadata,
		"64:ff9b::a9fe:a9fe":           link + inside,     // NAT64
		"64:ff9b::7f00:1":              loopback + inside, //
		"64:ff9b:1:a9fe:a9:fe00::":     link + inside,     // RFC 8215 with a /48 prefix
		"64:ff9b:1:1a9:fe:a9fe::":      link + inside,     // /56
		"64:ff9b:1:0:a9:fea9:fe00::":   link + inside,     // /64
		"64:ff9b:1:abcd::a9fe:a9fe":    link + inside,     // /96
		"2002:a9fe:a9fe::1":            link + inside,     // 6to4
		"2001:0:a9fe:a9fe::":           link + inside,     // Teredo server
		"2001:0:808:808:0:0:5601:5601": link + inside,     // Teredo client, inverted
		"2a00::5efe:a9fe:a9fe":         link + inside,     // ISATAP
		"2a00::200:5efe:a9fe:a9fe":     link + inside,     //
		"::a9fe:a9fe":                  link + inside,     // IPv4-compatible
		"::ffff:0:a9fe:a9fe":           link + inside,     // IPv4-translated
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			if got := forbidden(netip.MustParseAddr(text)); got != want {
				t.Errorf("forbidden(%s) = %q, want %q", text, got, want)
			}
		})
	}
}

func TestCheckAddress(t *testing.T) {
	type call struct{ name, port, addr string }
	standalone := Policy{AllowLoopback: true, AllowedHosts: []string{"localhost:5000", "*.corp.test", "10.0.0.0/8", "127.0.0.0/8"}}
	tests := []struct {
		name   string
		policy Policy
		call   call
		want   string
	}{
		{"default: public", Policy{}, call{"r.io", "443", "8.8.8.8"}, ""},
		{"default: private", Policy{}, call{"r.io", "443", "10.0.0.1"}, ""},
		{"default: rebound to metadata", Policy{}, call{"r.io", "443", "169.254.169.254"}, "host r.io is refused: it is a link-local or metadata address"},
		{"default: loopback", Policy{}, call{"r.io", "443", "127.0.0.1"}, "host r.io is refused: it is a loopback address"},
		{"not named", standalone, call{"r.io", "443", "8.8.8.8"}, "host r.io:443 is refused: --allowed-hosts does not name it"},
		{"named by glob", standalone, call{"r.corp.test", "443", "8.8.8.8"}, ""},
		{"named by CIDR", standalone, call{"r.io", "443", "10.1.1.1"}, ""},
		{"named, yet metadata", Policy{AllowedHosts: []string{"r.io", "169.254.0.0/16"}}, call{"r.io", "443", "169.254.169.254"}, "host r.io is refused: it is a link-local or metadata address"},
		{"loopback named by host", standalone, call{"localhost", "5000", "127.0.0.1"}, ""},
		{"loopback named by CIDR", standalone, call{"r.io", "443", "127.0.0.1"}, ""},
		{"IPv6 loopback is not named by it", standalone, call{"r.io", "443", "::1"}, "host r.io is refused: it is a loopback address"},
		{"loopback named, outside standalone mode", Policy{AllowedHosts: []string{"127.0.0.0/8"}}, call{"127.0.0.1", "443", "127.0.0.1"}, "host 127.0.0.1 is refused: it is a loopback address"},
		{"no glob names loopback", Policy{AllowLoopback: true, AllowedHosts: []string{"*.corp.test"}}, call{"r.corp.test", "443", "127.0.0.1"}, "host r.corp.test is refused: it is a loopback address"},
		{"no wide CIDR names loopback", Policy{AllowLoopback: true, AllowedHosts: []string{"0.0.0.0/0"}}, call{"r.io", "443", "127.0.0.1"}, "host r.io is refused: it is a loopback address"},
		{"no glob names an address", Policy{AllowedHosts: []string{"*"}}, call{"fd00::1", "443", "fd00::1"}, "host [fd00::1]:443 is refused: --allowed-hosts does not name it"},
		{"other port", Policy{AllowLoopback: true, AllowedHosts: []string{"localhost:5000"}}, call{"localhost", "5001", "127.0.0.1"}, "host localhost is refused: it is a loopback address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			guard, err := NewGuard(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := guard.checkAddress(test.call.name, test.call.port, netip.MustParseAddr(test.call.addr)); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
