package distributiontoken_test

import (
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// TestRealmsElsewhere: the token server that a registry names obeys the rules
// for every other host, so that no registry learns what the driver's network
// holds, or sends a login there.
func TestRealmsElsewhere(t *testing.T) {
	const noServer = `registry HOST names no valid token server: its Bearer challenge needs realm="https://HOST/PATH"`
	const link, inside = "it is a link-local or metadata address", " inside an IPv6 address"
	for realm, want := range map[string]string{
		"https://169.254.169.254/token":          "host 169.254.169.254 is refused: " + link,
		"https://169.254.169.254:8443/token":     "host 169.254.169.254 is refused: " + link,
		"https://[::ffff:169.254.169.254]/token": noServer, // written as no host is
		"https://[64:ff9b::a9fe:a9fe]/token":     "host 64:ff9b::a9fe:a9fe is refused: " + link + inside,
		"https://[2002:a9fe:a9fe::]/token":       "host 2002:a9fe:a9fe:: is refused: " + link + inside,
		"https://[fe80::1]/token":                "host fe80::1 is refused: " + link,
		"https://[fd00:ec2::254]/token":          "host fd00:ec2::254 is refused: it is a metadata address",
		"https://100.100.100.200/token":          "host 100.100.100.200 is refused: it is a metadata address",
		"https://168.63.129.16/token":            "host 168.63.129.16 is refused: it is a metadata address",
		"https://192.0.0.192/token":              "host 192.0.0.192 is refused: it is a metadata address",
		"https://0.0.0.0/token":                  "host 0.0.0.0 is refused: it is an unspecified address",
		"https://[::1]/token":                    "host ::1 is refused: it is a loopback address",
		"https://10.0.0.1/token":                 "host 10.0.0.1:443 is refused: --allowed-hosts does not name it",
		"https://[fe80::1%25lo]/token":           noServer,
		"https://user:secret@10.0.0.1/token":     noServer,
		"https://１６９.254.169.254/token":          noServer,
		"https://rеgistry.example/token":         noServer,
		"https://registry.example./token":        noServer,
		"https://*.example/token":                noServer,
		"//registry.example/":                    `registry HOST uses https and sends logins to a token server without it (host registry.example): set an https realm in the registry's configuration`,
		"https:///token":                         noServer,
		"https://" + strings.Repeat("a", 5000):   noServer,
		"https://[::ffff:169.254.169.254/token":  noServer,
		"file:///etc/passwd":                     noServer,
		"gopher://registry.example/":             `registry HOST uses https and sends logins to a token server without it (host registry.example): set an https realm in the registry's configuration`,
		"http://registry.example/":               `registry HOST uses https and sends logins to a token server without it (http://registry.example): set an https realm in the registry's configuration`,
	} {
		t.Run(realm[:min(len(realm), 50)], func(t *testing.T) {
			b := newBench(t, registryToken)
			b.realm = realm
			_, err := b.issue(t)
			if err == nil || issuers.ClassOf(err) != issuers.Terminal {
				t.Fatalf("error is %v", err)
			}
			if got := strings.ReplaceAll(err.Error(), b.server.Host(), "HOST"); got != want {
				t.Errorf("got %q\nwant %q", got, want)
			}
		})
	}
}
