package volume_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		// The one import on its own floor is credentials: a volume holds leases.
		deptest.Floors("pkg/connector", "pkg/issuers", "pkg/render", "pkg/audit", "pkg/metrics", "pkg/credentials", "internal/...", "internal/suggest"),
		deptest.NoAPIServer("k8s.io/klog/v2/..."),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
