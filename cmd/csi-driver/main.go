// Command csi-driver is regcred: the node driver that gives pods short-lived
// registry credentials, and the tools around it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/regcred/csi-driver-regcred/cmd/csi-driver/command"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

// version is set by the linker; the Makefile takes it from git.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	program := command.Program{Version: version, Issuers: builtin.Definitions()}
	code := program.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
