package driver

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/regcred/csi-driver-regcred/pkg/metrics"
)

// reasons are those of /readyz.
func (f *fixture) reasons() []string {
	var reasons []string
	for _, reason := range f.server.Ready() {
		reasons = append(reasons, reason.Error())
	}
	return reasons
}

func TestHealth(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	registry := prometheus.NewRegistry()
	metrics.New(registry, "v1.2.3")
	opts.Gatherer = registry
	var broken atomic.Bool
	opts.Ready = []func() error{
		func() error { return nil },
		func() error {
			if broken.Load() {
				return errors.New("the manifests\ncannot be read")
			}
			return nil
		},
	}
	f := start(t, opts, volumes)
	handler := f.server.handler()
	want := func(path string, code int, body string) {
		t.Helper()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if recorder.Code != code || recorder.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", path, recorder.Code, recorder.Body, code, body)
		}
	}
	want("/healthz", http.StatusOK, "ok\n")
	want("/readyz", http.StatusOK, "ok\n")
	broken.Store(true)
	want("/readyz", http.StatusServiceUnavailable, "the manifests; cannot be read\n")
	want("/healthz", http.StatusOK, "ok\n")
	if err := os.Remove(SocketPath(opts.Endpoint)); err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", http.NoBody))
	if recorder.Code != http.StatusServiceUnavailable {
		t.Errorf("/healthz without a socket: %d %s", recorder.Code, recorder.Body)
	}

	recorder = httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if !strings.Contains(recorder.Body.String(), "regcred_build_info{version=\"v1.2.3\"} 1\n") {
		t.Errorf("/metrics:\n%s", recorder.Body)
	}
}

func TestHTTPIsServed(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts.HTTPAddress = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	f := start(t, opts, volumes)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + opts.HTTPAddress + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK || string(body) != "ok\n" {
		t.Errorf("%d %q, %v", res.StatusCode, body, err)
	}
	f.ended(t)
	if res, err := client.Get("http://" + opts.HTTPAddress + "/readyz"); err == nil {
		_ = res.Body.Close()
		t.Error("HTTP is served after the end")
	}
}
