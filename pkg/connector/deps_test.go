package connector_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors(),
		deptest.Rule{Forbid: []string{"net/http"}, Reason: "the vocabulary does no I/O"},
		deptest.NoAPIServer(),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
