// Command demo shows a volume's whole life: a registry with token
// authentication, the driver, real clients, a rotation, a crash and the end.
// Every step is checked; the first that fails ends the demo with exit code 1.
// All of it runs in a sandbox that vanishes with the demo.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/regcred/csi-driver-regcred/test/clients/sandbox"
	"github.com/regcred/csi-driver-regcred/test/clients/tools"
	"github.com/regcred/csi-driver-regcred/test/clients/world"
)

// limit ends a demo that hangs.
const limit = 3 * time.Minute

func main() {
	os.Exit(sandbox.Run(world.Hosts(), tools.Prepare, run))
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo takes longer than %s", limit))
	defer cancel()
	p := &printer{out: os.Stdout, began: time.Now()}
	d := &demo{printer: p}
	if err := d.run(ctx); err != nil {
		p.failed(err, d.driverLog())
		return 1
	}
	return 0
}
