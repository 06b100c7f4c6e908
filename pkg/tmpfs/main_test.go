package tmpfs

import (
	"fmt"
	"os"
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

func TestMain(m *testing.M) {
	if order := os.Getenv(victimVariable); order != "" {
		if err := beVictim(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(mounttest.Main(m))
}
