package abuse

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/regcred/csi-driver-regcred/cmd/csi-driver/command"
	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

// asDriver, when set, makes the test binary a csi-driver with the issuers of
// these tests.
const asDriver = "REGCRED_ABUSE_DRIVER"

func TestMain(m *testing.M) {
	if os.Getenv(asDriver) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		code := command.Program{Version: "abuse", Issuers: definitions()}.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(mounttest.Main(m))
}

// product builds the driver as it is delivered, with the credential helper
// beside it.
func product(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	built(t, dir, helperName)
	return built(t, dir, "csi-driver")
}

// helperName is the program that volumes with docker-helper bring.
const helperName = "docker-credential-regcred"

// built is one of the product's commands.
func built(t *testing.T, dir, name string) string {
	t.Helper()
	binary := filepath.Join(dir, name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/regcred/csi-driver-regcred/cmd/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatal(errors.Join(err, errors.New(string(out))))
	}
	return binary
}
