package crash

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
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
	os.Exit(withHelper(func() int { return mounttest.Main(m) }))
}

// helperVariable tells where the credential helper is, which volumes with
// docker-helper bring. It is built once, although these tests start themselves
// anew in a namespace.
const helperVariable = "REGCRED_CRASH_HELPER"

func withHelper(run func() int) int {
	if os.Getenv(helperVariable) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "crash-helper-")
	if err != nil {
		panic(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	program := filepath.Join(dir, "docker-credential-regcred")
	build := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-s -w", "-o", program, "github.com/regcred/csi-driver-regcred/cmd/docker-credential-regcred")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the credential helper: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(helperVariable, program); err != nil {
		panic(err)
	}
	return run()
}

func beDriver() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	program := command.Program{Version: "test", Issuers: provider.Definitions()}
	return program.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
