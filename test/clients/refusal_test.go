package clients

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/regcred/csi-driver-regcred/test/clients/world"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// What `kubectl describe pod` shows: one line that says what to change, and no
// more than the pod's author may know.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const (
		obtaining = "connector ci/tokens: obtaining a credential for ServiceAccount ci/builder: "
		login     = obtaining + `getting a token for registry {registry} as the user of Secret "login": `
	)
	tests := map[string]struct {
		before func(t *testing.T, w *world.World)
		change func(v *kubelet.Volume)
		code   codes.Code
		want   string // {registry} and {tokens} stand for the two hosts
	}{
		"wrong password": {
			before: func(_ *testing.T, w *world.World) { w.Tokens.SetPassword(user, changed) },
			code:   codes.FailedPrecondition,
			want:   login + "host {tokens} answers UNAUTHORIZED: authentication required (HTTP 401)",
		},
		"overloaded provider": {
			before: func(_ *testing.T, w *world.World) {
				w.Tokens.Fail(http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, "slow down, "+canary)
			},
			code: codes.Unavailable,
			want: login + "host {tokens} answers status 429, text/plain, 18 bytes; asked to wait 7s (HTTP 429)",
		},
		"broken provider": {
			before: func(_ *testing.T, w *world.World) {
				w.Tokens.Fail(http.StatusInternalServerError, nil, "stack trace with "+canary)
			},
			code: codes.Unavailable,
			want: login + "host {tokens} answers status 500, text/plain, 24 bytes (HTTP 500)",
		},
		"life too short": {
			before: func(_ *testing.T, w *world.World) { w.Tokens.SetLife(3 * time.Second) },
			code:   codes.FailedPrecondition,
			want: obtaining + "the token server of {registry} lets tokens live 3s, shorter than minimumLife 5s: " +
				"raise the token's expiration in the token server's settings, or lower spec.issuer.distributionToken.minimumLife",
		},
		"unknown connector": {
			change: func(v *kubelet.Volume) { v.Attributes["connectors"] = "token" },
			code:   codes.NotFound,
			want:   "connector ci/token does not exist in the pod's namespace: create it or correct the volume attribute connectors",
		},
		"unknown connector of another namespace": {
			change: func(v *kubelet.Volume) { v.Attributes["connectors"] = "other/tokens" },
			code:   codes.PermissionDenied,
			want:   "connector other/tokens does not exist or its spec.access does not admit ServiceAccount ci/builder",
		},
		"foreign namespace": {
			change: func(v *kubelet.Volume) { v.Namespace, v.Attributes["connectors"] = "stranger", "ci/tokens" },
			code:   codes.PermissionDenied,
			want:   "connector ci/tokens does not exist or its spec.access does not admit ServiceAccount stranger/builder",
		},
		"misspelled attribute": {
			change: func(v *kubelet.Volume) { v.Attributes["conectors"] = "tokens" },
			code:   codes.InvalidArgument,
			want:   `conectors: is not a volume attribute; did you mean "connectors"?`,
		},
		"repository outside of the scope": {
			change: func(v *kubelet.Volume) { v.Attributes["repositories"] = "team/secret" },
			code:   codes.PermissionDenied,
			want:   `connector ci/tokens: repository "team/secret" is outside the Connector's spec.scope.repositories ["team/app"]`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newNode(t, time.Minute, connectors{"tokens": shortToken})
			v := aVolume("pipeline", "tokens")
			if tt.before != nil {
				tt.before(t, w)
			}
			if tt.change != nil {
				tt.change(&v)
			}
			hosts := strings.NewReplacer("{registry}", w.Registry.Host(), "{tokens}", w.TokensHost())
			refused(t, w, v, tt.code, hosts.Replace(tt.want))
		})
	}
}
