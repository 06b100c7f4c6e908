package state_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector"),
		deptest.Rule{Forbid: []string{"net/http"}, Reason: "state is files and mounts"},
		deptest.NoAPIServer(),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
