package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// renewal changes what many volumes hold, in ways that change their files and
// in ways that do not.
func renewal(ctx context.Context, p plan, b *budget) (err error) {
	const volumes = 1000
	dir := filepath.Join(p.dir, "renewal")
	s, _, err := startDriver(ctx, p.driver, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	calls, err := publishMany(ctx, s, volumes, 16)
	if err != nil {
		return err
	}
	if err := settle(ctx, s.pid()); err != nil {
		return err
	}
	// spent is the driver's processor time from a change until it is quiet.
	spent := func(manifest string, done func(context.Context) error) (time.Duration, error) {
		before, err := cpuOf(s.pid())
		if err != nil {
			return 0, err
		}
		if err := declare(dir, "bench.yaml", manifest); err != nil {
			return 0, err
		}
		if err := errors.Join(child.Until(ctx, done), settle(ctx, s.pid())); err != nil {
			return 0, err
		}
		after, err := cpuOf(s.pid())
		return after - before, err
	}
	one := func(total time.Duration) float64 { return total.Seconds() * 1e6 / volumes } // µs

	began := time.Now()
	var shown time.Duration
	changed, err := spent(login("2"), func(context.Context) error {
		defer func() { shown = time.Since(began) }()
		return stale(calls, "1")
	})
	if err != nil {
		return err
	}
	// What was superseded goes ten seconds after the switch, at a cost too.
	before, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	if err := swept(ctx, s.pid()); err != nil {
		return err
	}
	after, err := cpuOf(s.pid())
	if err != nil {
		return err
	}
	b.printf("\na changed Secret of %d volumes: shown in all after %v; %.1f µs of processor time each to show, %.1f µs to remove what was superseded\n",
		volumes, shown.Round(time.Millisecond), one(changed), one(after-before))
	b.check("renewal of a changed volume, with the removal", "%.1f µs", 200, one(changed+after-before))

	for _, same := range []struct{ what, manifest string }{
		{"the same manifest, written again", login("2")},
		{"a Secret with a key that no file shows", strings.Replace(login("2"), "stringData: {", "stringData: {note: unused, ", 1)},
		{"a Connector with a field that no file shows", strings.Replace(login("2"), "spec:\n", "spec:\n  overlap: 30m\n", 1)},
	} {
		before, err := seen(calls)
		if err != nil {
			return err
		}
		total, err := spent(same.manifest, func(context.Context) error { return wait(ctx, time.Second) }) // the watch waits for quiet
		if err != nil {
			return err
		}
		after, err := seen(calls)
		if err != nil {
			return err
		}
		var written int
		for i := range after {
			if after[i] != before[i] {
				written++
			}
		}
		if written > 0 {
			if err := swept(ctx, s.pid()); err != nil {
				return err
			}
		}
		b.check(same.what+", a volume", "%.2f µs", 10, one(total))
		b.note(same.what+", volumes written", "0", fmt.Sprint(written), written == 0)
	}
	return unpublishMany(ctx, s, calls)
}

// swept waits until what was superseded has been removed, ten seconds later.
func swept(ctx context.Context, pid int) error {
	return errors.Join(wait(ctx, 11*time.Second), settle(ctx, pid))
}

// stale is an error while a volume shows that version of the login.
func stale(calls []call, version string) error {
	old := encoded(version)
	for _, c := range calls {
		data, err := os.ReadFile(c.target + "/config.json")
		if err != nil {
			return err
		}
		if strings.Contains(string(data), old) {
			return fmt.Errorf("%s shows version %s", c.target, version)
		}
	}
	return nil
}
