package abuse

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An issuer with a bug panics with all that it was given. The process ends,
// writes no secret, and its successor finds everything as it was.
func TestPanicShowsNoSecret(t *testing.T) {
	s := newTenants(t, "--v=10")
	s.asAlice()
	token := newCanary("token") // its core is the token's id
	v := alice("job-2", "bug")
	said := claimsOf(v, aliceUID, panics)
	said.ID = token.core
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	must(t, s.kubelet.Prepare(v))
	req := s.kubelet.Request(v)
	withTokens(s.cluster.kubeletTokens(said))(req)
	if err := s.note(s.kubelet.Send(ctx, req)); status.Code(err) != codes.Unavailable && status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v from a driver that panicked", err)
	}
	s.logged("goroutine ")
	s.driver.Kill() // it may still be writing
	if log := s.driver.Log(); !strings.Contains(log, "panic: ") {
		t.Fatal("the driver did not panic")
	}
	s.onDisk().free(t, "panicked", []canary{token, s.password})
	must(t, s.driver.Start(t.Context()))
	must(t, s.shows(s.victim, s.password))
	must(t, s.publish(s.victim))
	must(t, s.kubelet.Unpublish(t.Context(), s.victim))
	s.shown().free(t, "restarted", []canary{token, s.password})
}
