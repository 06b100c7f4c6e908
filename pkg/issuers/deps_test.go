package issuers_test

import (
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/deptest"
)

func TestFloors(t *testing.T) {
	deptest.Check(t,
		deptest.Floors("pkg/connector"),
		deptest.NoAPIServer(),
		deptest.NoPrograms(),
		deptest.NoCSI(),
	)
}
