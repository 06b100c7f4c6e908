package v1alpha1_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector", "pkg/issuers", "pkg/issuers/anonymous", "pkg/issuers/distributiontoken", "pkg/issuers/dockerconfig", "pkg/issuers/env", "pkg/issuers/pullsecret", "pkg/issuers/secret", "pkg/apis/manifest", "internal/suggest"),
		deptest.NoPrograms(),
		deptest.NoCSI(),
		deptest.Rule{Forbid: []string{"k8s.io/client-go/...", "k8s.io/apiextensions-apiserver/..."}, Reason: "only pkg/source/kube talks to the API server"},
	)
}
