package volume_test

import (
	"testing"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// A pod outlives its ServiceAccount, which is made again under the same name:
// the kubelet's tokens are then those of the new one. What the pods of the old
// one share is neither shown to the new nor renewed with its tokens.
func TestARecreatedServiceAccountSharesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.audiences = []string{"registry"}
		of := func(id, uid string) volume.Spec {
			s := spec(t, id, "reg")
			s.Subject.ServiceAccountUID = uid
			s.Tokens = map[string]issuers.Token{"registry": {JWT: connector.NewSecret("token of " + uid)}}
			return s
		}
		publish(t, n, of("a", "old"))
		publish(t, n, of("b", "old"))
		publish(t, n, of("a", "new"))
		pass(time.Second)
		if a, b := n.shown("a", "reg.test"), n.shown("b", "reg.test"); a != "password-2" || b != "password-1" {
			t.Errorf("a shows %s, b shows %s", a, b)
		}
		if n.cluster.callCount() != 2 || len(n.cluster.tokens) != 1 || n.cluster.tokens[0] != "token of new" {
			t.Errorf("%d calls, the last with %v", n.cluster.callCount(), n.cluster.tokens)
		}
		tokenless := spec(t, "a", "reg") // as when the API server is away
		publish(t, n, tokenless)
		n.stop()

		next := n.again(t)
		publish(t, next, of("a", "new"))
		publish(t, next, of("c", "new"))
		pass(time.Second)
		if a, c := next.shown("a", "reg.test"), next.shown("c", "reg.test"); a != "password-2" || c != "password-2" || next.cluster.callCount() != 2 {
			t.Errorf("after a restart a shows %s, c shows %s, %d calls", a, c, next.cluster.callCount())
		}
	})
}
