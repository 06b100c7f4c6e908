package credentials_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector", "pkg/issuers", "pkg/audit", "pkg/metrics", "internal/..."),
		deptest.NoAPIServer("k8s.io/klog/v2/..."),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
