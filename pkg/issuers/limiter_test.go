package issuers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, err := NewGuard(Policy{})
		if err != nil {
			t.Fatal(err)
		}
		l := guard.limiterFor("r.io")
		low := WithLowPriority(t.Context())
		began := time.Now()
		take := func(ctx context.Context, n int) time.Duration {
			for range n {
				if err := l.wait(ctx); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(began)
		}
		if after := take(low, callBurst-callReserve); after != 0 {
			t.Errorf("the half of renewals took %s", after)
		}
		if after := take(t.Context(), callReserve); after != 0 {
			t.Errorf("the half that is kept for others took %s", after)
		}
		// Now empty: others wait for one token, renewals until half is back.
		if after := take(t.Context(), 1); after != 100*time.Millisecond {
			t.Errorf("the next call went after %s", after)
		}
		if after := take(low, 1).Round(50 * time.Millisecond); after != 1200*time.Millisecond {
			t.Errorf("the next renewal went after %s", after)
		}
		if other := guard.limiterFor("s.io"); other == l {
			t.Error("two hosts share a bucket")
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, err := NewGuard(Policy{})
		if err != nil {
			t.Fatal(err)
		}
		l := guard.limiterFor("r.io")
		for l.bucket.Allow() {
		}
		ctx, cancel := context.WithCancel(WithLowPriority(t.Context()))
		done := make(chan error)
		go func() { done <- l.wait(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	})
}

// One host has one bucket, however a realm spells it.
func TestLimiterKnowsAHost(t *testing.T) {
	guard, err := NewGuard(Policy{})
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string) *limiter {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return guard.limiterFor(endpointOf(u).String())
	}
	first := of("https://registry-1.docker.io/v2/")
	for _, same := range []string{"https://REGISTRY-1.docker.io", "https://registry-1.docker.io:443/", "https://docker.io"} {
		if of(same) != first {
			t.Errorf("%s has a bucket of its own", same)
		}
	}
	if of("http://docker.io") == first {
		t.Error("another port shares the bucket")
	}
}

func TestLimitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard, err := NewGuard(Policy{})
		if err != nil {
			t.Fatal(err)
		}
		busy := guard.limiterFor("busy.io")
		busy.bucket.AllowN(time.Now(), callBurst)
		for i := range 3 * maxLimiters {
			guard.limiterFor(fmt.Sprintf("h%d.io", i))
		}
		if n := len(guard.limiters); n > maxLimiters {
			t.Errorf("%d buckets are kept", n)
		}
		if guard.limiterFor("busy.io") != busy {
			t.Error("a bucket in use was dropped")
		}
		// Also when none of them is full.
		for i := range 2 * maxLimiters {
			guard.limiterFor(fmt.Sprintf("used%d.io", i)).bucket.Allow()
		}
		if n := len(guard.limiters); n > maxLimiters {
			t.Errorf("%d buckets are kept", n)
		}
		if guard.limiterFor("busy.io") != busy {
			t.Error("the emptiest bucket was dropped")
		}
	})
}
