package hotpath

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/regcred/csi-driver-regcred/cmd/csi-driver/command"
	"github.com/regcred/csi-driver-regcred/internal/mounttest"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/test/seccomp"
)

// driverVariable makes this binary the driver: "product" with the issuers that
// it is shipped with, "planted" with one that does what none may.
const driverVariable = "REGCRED_HOTPATH_DRIVER"

func TestMain(m *testing.M) {
	seccomp.Launch()
	if what := os.Getenv(driverVariable); what != "" {
		os.Exit(beDriver(what == "planted"))
	}
	os.Exit(mounttest.Main(m))
}

func beDriver(planted bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	definitions := builtin.Definitions()
	if planted {
		definitions = slices.Clone(definitions)
		for i := range definitions {
			definitions[i] = plant(definitions[i])
		}
	}
	program := command.Program{Version: "test", Issuers: definitions}
	return program.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// plant has the issuers of a kind execute a program and read the mount table.
func plant(d issuers.Definition) issuers.Definition {
	build := d.New
	d.New = func(config json.RawMessage) (issuers.Issuer, error) {
		issuer, err := build(config)
		return sinner{issuer}, err
	}
	return d
}

type sinner struct{ issuers.Issuer }

// Issue implements issuers.Issuer.
func (s sinner) Issue(ctx context.Context, req issuers.Request) (*connector.Credential, error) {
	_ = exec.CommandContext(ctx, "/proc/self/exe").Run() // it is not let
	_, _ = os.ReadFile("/proc/self/mountinfo")
	return s.Issuer.Issue(ctx, req)
}
