package scale

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/regcred/csi-driver-regcred/test/driver"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
	"github.com/regcred/csi-driver-regcred/test/provider"
)

const (
	pods       = 500
	identities = 20
	// retryAfter is what the provider asks of those whom it refuses.
	retryAfter = time.Second
	// patience bounds the wait; nothing is measured by it.
	patience = 2 * time.Minute
)

const manifests = `
apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: throttled, namespace: ci}
spec:
  address: http://%s
  sharing: ServiceAccount
  scope: {repositories: [app], actions: [pull]}
  issuer: {distributionToken: {secretRef: {name: account}, output: registryToken}}
---
apiVersion: v1
kind: Secret
metadata: {name: account, namespace: ci}
type: kubernetes.io/basic-auth
stringData: {username: ci, password: pw}
`

// TestThrottledProvider starts 500 pods of 20 identities at once, whose
// provider lets four calls a second through and refuses the others. Each
// identity gets one credential, and nobody who was refused asks in a loop.
func TestThrottledProvider(t *testing.T) {
	registry := provider.Start(provider.Options{User: "ci", Password: "pw", Life: time.Hour})
	defer registry.Close()
	var refused atomic.Int64
	admitted := rate.NewLimiter(4, 4)
	registry.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		if admitted.Allow() {
			return false
		}
		refused.Add(1)
		w.Header().Set("Retry-After", fmt.Sprint(int(retryAfter.Seconds())))
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	k := startNode(t, fmt.Sprintf(manifests, registry.Host()))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	volumes := make([]kubelet.Volume, pods)
	for i := range volumes {
		volumes[i] = kubelet.Volume{
			Namespace: "ci", Pod: fmt.Sprint("pod-", i), ServiceAccount: fmt.Sprint("builder-", i%identities), Name: "registry",
			Attributes: map[string]string{"connectors": "throttled", "configuration.names": "fields"},
		}
	}
	began := time.Now()
	ready := make([]time.Duration, pods)
	errs := together(volumes, func(i int, v kubelet.Volume) error {
		err := untilPublished(ctx, k, v)
		ready[i] = time.Since(began)
		return err
	})
	must(t, errs)
	t.Attr("ready", slices.Max(ready).Round(10*time.Millisecond).String()) // make bench reads them
	t.Attr("issued", fmt.Sprint(len(registry.Issued())))
	t.Attr("refused", fmt.Sprint(refused.Load()))

	if n := len(registry.Issued()); n != identities {
		t.Errorf("%d credentials were issued for %d identities", n, identities)
	}
	if refused.Load() == 0 {
		t.Error("nobody was refused, so nothing was throttled")
	}
	// The last identity waits some five seconds, and asks once in each.
	if n := refused.Load(); n > 10*identities {
		t.Errorf("%d calls were refused: those refused ask too often", n)
	}
	tokens := map[string][]string{} // by ServiceAccount
	for _, v := range volumes {
		data, err := os.ReadFile(filepath.Join(k.Target(v), "token"))
		must(t, err)
		if !slices.Contains(tokens[v.ServiceAccount], string(data)) {
			tokens[v.ServiceAccount] = append(tokens[v.ServiceAccount], string(data))
		}
	}
	for account, all := range tokens {
		if len(all) != 1 {
			t.Errorf("pods of %s have %d different tokens", account, len(all))
		}
	}
	must(t, together(volumes, func(_ int, v kubelet.Volume) error { return k.Unpublish(ctx, v) }))
}

// startNode runs a driver until the test ends.
func startNode(t *testing.T, connectors string) *kubelet.Kubelet {
	t.Helper()
	dir := t.TempDir()
	must(t, unix.Mount("scale", dir, "tmpfs", 0, "mode=0755"))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	c := driver.Config{
		Dir: filepath.Join(dir, "driver"), KubeletDir: filepath.Join(dir, "kubelet"), Connectors: filepath.Join(dir, "connectors"),
		Flags: []string{"--allowed-hosts=127.0.0.1"}, Program: "/proc/self/exe", Env: []string{driverVariable + "=1"}, EndsWithParent: true,
	}
	for _, made := range []string{c.Dir, filepath.Join(c.KubeletDir, "pods"), c.Connectors} {
		must(t, os.MkdirAll(made, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(c.Connectors, "all.yaml"), []byte(connectors), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := driver.Start(ctx, c)
	must(t, err)
	t.Cleanup(func() {
		must(t, d.Stop())
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	k, err := kubelet.New(c.KubeletDir, d.Endpoint())
	must(t, err)
	t.Cleanup(func() { must(t, k.Close()) })
	return k
}

// untilPublished asks again after an error as the kubelet does: after half a
// second, then twice as long each time.
func untilPublished(ctx context.Context, k *kubelet.Kubelet, v kubelet.Volume) error {
	for pause := 500 * time.Millisecond; ; pause *= 2 {
		err := k.Publish(ctx, v)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// together does it for all volumes at once.
func together(volumes []kubelet.Volume, do func(int, kubelet.Volume) error) error {
	errs := make([]error, len(volumes))
	var all sync.WaitGroup
	for i, v := range volumes {
		all.Go(func() { errs[i] = do(i, v) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
