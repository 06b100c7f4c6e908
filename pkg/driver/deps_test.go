package driver_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector", "pkg/volume", // and what volume imports
			"pkg/issuers", "pkg/render", "pkg/audit", "pkg/metrics", "pkg/credentials", "internal/...", "internal/suggest"),
		deptest.NoAPIServer("k8s.io/klog/v2/...", "k8s.io/kubelet/pkg/apis/pluginregistration/v1"),
		deptest.NoPrograms(),
	)
}
