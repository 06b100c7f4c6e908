package issuers_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/issuertest"
)

// What TLS settings name and what is not there: told once, and retryable.
func TestMissingTrust(t *testing.T) {
	for name, test := range map[string]struct {
		tls  connector.TLS
		want string
	}{
		"CA in a ConfigMap":  {connector.TLS{CAConfigMap: &connector.ObjectKey{Name: "ca", Key: "ca.crt"}}, `registry r.io: ConfigMap "ca" for the CA does not exist in the Connector's namespace`},
		"CA in a Secret":     {connector.TLS{CASecret: &connector.ObjectKey{Name: "ca", Key: "ca.crt"}}, `registry r.io: Secret "ca" for the CA does not exist in the Connector's namespace`},
		"client certificate": {connector.TLS{ClientCertificateSecret: "pair"}, `registry r.io: Secret "pair" for the client certificate does not exist in the Connector's namespace`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := issuers.ResolveTrust(t.Context(), issuertest.Objects{}, []connector.Registry{{Host: "r.io", TLS: test.tls}})
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Error(diff)
			}
			if !errors.Is(err, connector.ErrNotFound) || issuers.ClassOf(err) != issuers.Retryable {
				t.Errorf("the error is %s and wraps ErrNotFound: %v", issuers.ClassOf(err), errors.Is(err, connector.ErrNotFound))
			}
		})
	}
}
