package render_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector"),
		deptest.Rule{Forbid: []string{"net/http"}, Reason: "rendering is pure"},
		deptest.NoAPIServer(),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
