package scale

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/regcred/csi-driver-regcred/cmd/csi-driver/command"
	"github.com/regcred/csi-driver-regcred/internal/mounttest"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

// driverVariable makes this binary the driver.
const driverVariable = "REGCRED_SCALE_DRIVER"

func TestMain(m *testing.M) {
	if os.Getenv(driverVariable) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		program := command.Program{Version: "test", Issuers: builtin.Definitions()}
		code := program.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(mounttest.Main(m))
}
