package crash

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/regcred/csi-driver-regcred/cmd/csi-driver/command"
	"github.com/regcred/csi-driver-regcred/internal/mounttest"
	"github.com/regcred/csi-driver-regcred/test/crash/provider"
	"github.com/regcred/csi-driver-regcred/test/seccomp"
)

// driverVariable makes this binary the driver: the product's command line with
// one issuer that makes objects at a provider.
const driverVariable = "REGCRED_CRASH_DRIVER"

func TestMain(m *testing.M) {
	if os.Getenv(driverVariable) != "" {
		seccomp.Launch() // returns when the filter is in force, or none is asked for
		os.Exit(beDriver())
	}
	// Most of these tests wait for time to pass.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	os.Exit(mounttest.Main(m))
}

func beDriver() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	program := command.Program{Version: "test", Issuers: provider.Definitions()}
	return program.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
