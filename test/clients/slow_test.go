package clients

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/test/clients/tokenserver"
)

// The provider is slower than the kubelet's patience. The first call runs into
// its deadline and shows nothing; the retry gets the volume, with the token of
// the one request that was sent.
func TestSlowProvider(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	release := w.Tokens.Hold()
	defer release()

	impatient, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := w.Kubelet.Publish(impatient, v); status.Code(err) != codes.DeadlineExceeded {
		t.Fatalf("the driver answers %v while the provider does not", err)
	}
	mounts, err := w.Mounts()
	must(t, err)
	if _, err := os.Lstat(w.Kubelet.Target(v)); len(mounts) > 0 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is shown without a credential: %v, %v", mounts, err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	retry := make(chan error, 1)
	go func() { retry <- w.Kubelet.Publish(ctx, v) }()
	must(t, w.Tokens.Await(ctx, "the request", func(requests int, _ []tokenserver.Token) bool { return requests > 0 }))
	release()
	must(t, <-retry)

	tokens := w.Tokens.Issued()
	if len(tokens) != 1 || w.Tokens.Requests() != 1 {
		t.Errorf("%d requests, %d tokens, want one of each", w.Tokens.Requests(), len(tokens))
	}
	if got := shown(t, w, v); got != (entry{RegistryToken: tokens[0].Raw}) {
		t.Error("config.json does not show the token")
	}
	mounts, err = w.Mounts()
	must(t, err)
	if len(mounts) != 1 {
		t.Errorf("%d mounts, want 1: %v", len(mounts), mounts)
	}
	unpublish(t, w, v)
	nothingLeft(t, w)
}

// A pod that ends while its publish waits for the provider leaves nothing,
// also when the answer comes later.
func TestUnpublishDuringPublish(t *testing.T) {
	t.Parallel()
	w := newNode(t, time.Minute, connectors{"tokens": shortToken})
	v := aVolume("pipeline", "tokens")
	release := w.Tokens.Hold()
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	published := make(chan error, 1)
	go func() { published <- w.Kubelet.Publish(ctx, v) }()
	must(t, w.Tokens.Await(ctx, "the request", func(requests int, _ []tokenserver.Token) bool { return requests > 0 }))
	must(t, w.Kubelet.Unpublish(ctx, v))
	if err := <-published; err == nil {
		t.Error("the publish succeeds after the unpublish")
	}
	release()
	publish(t, w, aVolume("another", "tokens")) // whatever was still under way is over
	unpublish(t, w, aVolume("another", "tokens"))
	nothingLeft(t, w)
}
