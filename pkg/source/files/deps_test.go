package files_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.NoPrograms(),
		deptest.NoCSI(),
		deptest.Rule{Forbid: []string{"k8s.io/client-go/..."}, Reason: "standalone mode knows no API server"},
		deptest.Rule{
			Forbid: []string{"github.com/regcred/csi-driver-regcred/pkg/volume/...", "github.com/regcred/csi-driver-regcred/pkg/driver/..."},
			Reason: "a source is asked through the interfaces of pkg/volume and does not know it",
		},
	)
}
