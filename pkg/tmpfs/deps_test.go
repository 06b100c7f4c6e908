package tmpfs_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector", "pkg/render", "pkg/volume", // and what volume imports
			"pkg/issuers", "pkg/audit", "pkg/metrics", "pkg/credentials", "internal/...", "internal/suggest"),
		deptest.NoAPIServer("k8s.io/klog/v2/...", "k8s.io/mount-utils", "k8s.io/utils/..."),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
