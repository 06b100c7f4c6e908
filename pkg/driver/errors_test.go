package driver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func TestAsStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want *status.Status
	}{
		{"none", nil, status.New(codes.OK, "")},
		{"unknown", errors.New("boom"), status.New(codes.Internal, "boom")},
		{"invalid", connector.Field("connectors", "is empty"), status.New(codes.InvalidArgument, "connectors: is empty")},
		{"not found", fmt.Errorf("connector a/b: %w", connector.ErrNotFound), status.New(codes.NotFound, "connector a/b: not found")},
		{"denied", connector.ErrDenied, status.New(codes.PermissionDenied, "denied")},
		{"precondition", connector.ErrPrecondition, status.New(codes.FailedPrecondition, "failed precondition")},
		{"unavailable", connector.ErrUnavailable, status.New(codes.Unavailable, "unavailable")},
		{"exhausted", connector.ErrExhausted, status.New(codes.ResourceExhausted, "resource exhausted")},
		{"conflict", connector.ErrConflict, status.New(codes.AlreadyExists, "already exists")},
		{"aborted", connector.ErrAborted, status.New(codes.Aborted, "aborted")},
		{"the caller's time is up", fmt.Errorf("waiting: %w", context.DeadlineExceeded), status.New(codes.DeadlineExceeded, "waiting: context deadline exceeded")},
		{"the caller left", context.Canceled, status.New(codes.Canceled, "context canceled")},
		{"a missing CA", fmt.Errorf("%w: %w", connector.ErrPrecondition, connector.ErrNotFound), status.New(codes.FailedPrecondition, "failed precondition: not found")},
		{"retryable, whatever the cause", issuers.Retry(0, "Timeout", "asking: %w", context.DeadlineExceeded), status.New(codes.Unavailable, "asking: context deadline exceeded")},
		{"fresh tokens needed", issuers.NewIdentity("TokenExpired", "expired"), status.New(codes.Unavailable, "expired")},
		{"terminal, whatever the cause", fmt.Errorf("connector a/b: %w", issuers.Terminate("SecretNotFound", "Secret x: %w", connector.ErrNotFound)), status.New(codes.FailedPrecondition, "connector a/b: Secret x: not found")},
		{"refused", issuers.Deny("Refused", "no"), status.New(codes.PermissionDenied, "no")},
		{"an unimplemented call", status.Error(codes.Unimplemented, "no such call"), status.New(codes.Unimplemented, "no such call")},
		{"many lines", errors.Join(connector.ErrInvalid, errors.New("a\tb\x1b[31m\r")), status.New(codes.InvalidArgument, "invalid; a b [31m")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want.String(), status.Convert(asStatus(test.err)).String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLongMessagesAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("é", 1000), "x" + strings.Repeat("é", 1000), "xx" + strings.Repeat("世", 1000)} {
		got := oneLine(text)
		kept := strings.TrimSuffix(got, "…")
		if kept == got || !strings.HasPrefix(text, kept) || len(got) > 800 || len(got) < 795 {
			t.Errorf("%.5s… was cut to %d bytes ending in %q", text, len(got), got[len(got)-8:])
		}
	}
}
