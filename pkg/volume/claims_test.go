package volume

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// What an emptied source served stays its own: a later connector must not
// fill in.
func TestClaims(t *testing.T) {
	g := &grant{connector: &connector.Connector{Registries: []connector.Registry{{Host: "a.example.com"}, {Host: "b.example.com"}, {Host: "c.test"}}}}
	for _, tc := range []struct{ hosts, want []string }{
		{nil, nil},
		{[]string{"d.test"}, []string{"d.test"}},
		{[]string{"*.example.com"}, []string{"*.example.com", "a.example.com", "b.example.com"}},
		{[]string{"d.test", "*.example.com", "a.example.com"}, []string{"*.example.com", "a.example.com", "b.example.com", "d.test"}},
	} {
		if diff := cmp.Diff(tc.want, g.claims(tc.hosts)); diff != "" {
			t.Errorf("%q, -want +got:\n%s", tc.hosts, diff)
		}
	}
}
