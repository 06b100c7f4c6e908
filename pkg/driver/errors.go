package driver

import (
	"context"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// maxMessage leaves room for the kubelet's own words in an event, which
// holds 1,024 bytes.
const maxMessage = 800

// asStatus is the one place where an error becomes a gRPC code. The kubelet
// treats Canceled, DeadlineExceeded, Unavailable and Aborted as "may be under
// way": it unpublishes before it forgets the pod. Every other code promises
// that nothing is left behind.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if own, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return own.GRPCStatus().Err() // an unimplemented call
	}
	return status.Error(codeOf(err), oneLine(err.Error()))
}

// codeOf asks the issuer's class first: its cause may be any sentinel, but
// what to do about it the class says.
func codeOf(err error) codes.Code {
	if failure, ok := errors.AsType[*issuers.Error](err); ok {
		return codeOfClass(failure.Class)
	}
	// An error may wrap several; the first of the list decides. A cause such
	// as "not found" stands behind what it means for the call.
	for _, class := range []struct {
		sentinel error
		code     codes.Code
	}{
		{connector.ErrDenied, codes.PermissionDenied},
		{connector.ErrConflict, codes.AlreadyExists},
		{connector.ErrAborted, codes.Aborted},
		{connector.ErrExhausted, codes.ResourceExhausted},
		{connector.ErrPrecondition, codes.FailedPrecondition},
		{connector.ErrUnavailable, codes.Unavailable},
		{connector.ErrNotFound, codes.NotFound},
		{connector.ErrInvalid, codes.InvalidArgument},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled},
	} {
		if errors.Is(err, class.sentinel) {
			return class.code
		}
	}
	return codes.Internal
}

// codeOfClass: a missing identity is Unavailable because the kubelet's next
// call brings fresh tokens.
func codeOfClass(class issuers.Class) codes.Code {
	switch class {
	case issuers.Denied:
		return codes.PermissionDenied
	case issuers.Terminal:
		return codes.FailedPrecondition
	case issuers.Retryable, issuers.NeedsNewIdentity:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}

// oneLine makes a text fit an event: joined errors are separated by
// semicolons, what cannot be printed or turns the line around becomes a space,
// and the end is cut.
func oneLine(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
	if len(text) <= maxMessage {
		return text
	}
	const ellipsis = "…"
	end := maxMessage - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
