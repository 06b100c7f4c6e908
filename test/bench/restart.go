package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/provider"
)

// holders is how many ServiceAccounts the minted credentials are for.
const holders = 100

// restart kills the driver of a full node and starts it again.
func restart(ctx context.Context, p plan, b *budget) (err error) {
	tokens := provider.Start(provider.Options{User: "bench", Password: "pw", Life: time.Hour})
	defer tokens.Close()
	s, d, err := startDriver(ctx, p.driver, filepath.Join(p.dir, "restart"), nil, "--allowed-hosts=127.0.0.1")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := declare(filepath.Join(p.dir, "restart"), "minted.yaml", minted(tokens.Host())); err != nil {
		return err
	}
	calls, err := prepare(s.kubelet, 0, full)
	if err != nil {
		return err
	}
	for i, c := range calls {
		c.publish.VolumeContext["connectors"] = "bench,minted"
		c.publish.VolumeContext["csi.storage.k8s.io/serviceAccount.name"] = fmt.Sprint("builder-", i%holders)
	}
	if err := settle(ctx, s.pid()); err != nil { // until the new connector is read
		return err
	}
	if _, err := each(full, 16, func(i int) error { return s.publish(ctx, calls[i]) }); err != nil {
		return err
	}
	b.note("provider's calls for "+fmt.Sprint(full)+" volumes of "+fmt.Sprint(holders)+" credentials", fmt.Sprint("= ", holders),
		fmt.Sprint(len(tokens.Arrivals())), len(tokens.Arrivals()) == holders)
	before, err := seen(calls)
	if err != nil {
		return err
	}
	d.Kill()
	began := time.Now()
	if err := d.Start(ctx); err != nil {
		return err
	}
	ready := time.Since(began)
	if _, err := each(full, 16, func(i int) error { return s.publish(ctx, calls[i]) }); err != nil {
		return fmt.Errorf("republishing after the restart: %w", err)
	}
	again := time.Since(began)
	after, err := seen(calls)
	if err != nil {
		return err
	}
	var touched int
	for i := range before {
		if before[i] != after[i] {
			touched++
		}
	}
	b.printf("\nafter kill -9 with %d volumes: ready in %v, all republished %v after the start\n", full, ready.Round(time.Millisecond), again.Round(time.Millisecond))
	b.check(fmt.Sprintf("ready after kill -9 with %d volumes", full), "%.2f s", 2, ready.Seconds())
	b.note("volumes that a restart touches (mount id, inode, time)", "0", fmt.Sprint(touched), touched == 0)
	issued := len(tokens.Arrivals()) - holders
	b.note("credentials that a restart issues", "0", fmt.Sprint(issued), issued == 0)
	return unpublishMany(ctx, s, calls)
}

// minted is a connector whose credentials a provider issues, one for each
// ServiceAccount.
func minted(host string) string {
	return `apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: minted, namespace: ci}
spec:
  address: http://` + host + `
  sharing: ServiceAccount
  scope: {repositories: [app], actions: [pull]}
  issuer: {distributionToken: {secretRef: {name: account}, output: registryToken}}
---
apiVersion: v1
kind: Secret
metadata: {name: account, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: bench, password: pw}
`
}

// declare puts a manifest in place in one step.
func declare(dir, name, content string) error {
	next := filepath.Join(dir, "next")
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, "connectors", name))
}

// identity tells one content of a volume from any other.
type identity struct {
	mount, inode uint64
	changed      unix.StatxTimestamp
}

// seen looks at every volume's file as a pod sees it.
func seen(calls []call) ([]identity, error) {
	all := make([]identity, len(calls))
	for i, c := range calls {
		var stat unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, c.target+"/config.json", 0, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &stat); err != nil {
			return nil, fmt.Errorf("%s: %w", c.target, err)
		}
		all[i] = identity{stat.Mnt_id, stat.Ino, stat.Mtime}
	}
	return all, nil
}

// settle waits until a process does nothing.
func settle(ctx context.Context, pid int) error {
	const (
		quiet = time.Second
		still = time.Millisecond
	)
	before, err := cpuOf(pid)
	for err == nil {
		if err = wait(ctx, quiet); err != nil {
			return err
		}
		var now time.Duration
		if now, err = cpuOf(pid); err == nil && now-before < still {
			return nil
		}
		before = now
	}
	return err
}
