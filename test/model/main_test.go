package model

import (
	"os"
	"testing"

	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

func TestMain(m *testing.M) { os.Exit(mounttest.Main(m)) }
