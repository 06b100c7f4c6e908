package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// simulated reports what two tests of make test measure: one in virtual time,
// one against a provider that refuses.
func simulated(ctx context.Context, _ plan, b *budget) error {
	spread, err := attributes(ctx, "TestSpread", "./pkg/credentials")
	if err != nil {
		return err
	}
	peak, err := strconv.ParseFloat(spread["peak"], 64)
	if err != nil {
		return fmt.Errorf("TestSpread told no peak: %w", err)
	}
	b.check("3000 credentials issued at once: most renewals in 10 s", "%.2f× the mean", 3, peak)
	throttled, err := attributes(ctx, "TestThrottledProvider", "./test/scale")
	if err != nil {
		return err
	}
	ready, err := time.ParseDuration(throttled["ready"])
	if err != nil {
		return fmt.Errorf("TestThrottledProvider told no time: %w", err)
	}
	b.printf("\n500 pods of 20 identities at a provider that lets 4 calls a second through: all ready in %v, %s calls refused\n", ready, throttled["refused"])
	b.note("provider's credentials for 500 pods of 20 identities", "= 20", throttled["issued"], throttled["issued"] == "20")
	return nil
}

// attributes runs a test, from the repository's root, and returns what it
// tells by testing.T.Attr.
func attributes(ctx context.Context, test, pkg string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^"+test+"$", pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) == 5 && fields[1] == "ATTR" {
			all[fields[3]] = fields[4]
		}
	}
	return all, nil
}
