package issuers

import (
	"errors"
	"fmt"
	"time"
)

// Class tells the core what to do about a failure.
type Class string

// The classes of failure.
const (
	// Retryable: the provider or the way to it fails now; asked again with
	// back-off, or after the time it states.
	Retryable Class = "Retryable"
	// NeedsNewIdentity: the pod's token is missing, expired or too old; asked
	// again when the kubelet delivers a fresh one.
	NeedsNewIdentity Class = "NeedsNewIdentity"
	// Terminal: the configuration is wrong on one of both sides; asked again
	// when it changes, else no sooner than after five minutes.
	Terminal Class = "Terminal"
	// Denied: the provider knows the identity and refuses it; as Terminal,
	// and audited.
	Denied Class = "Denied"
)

// Error is a failure of an issuer, told to the user in one line.
type Error struct {
	Class Class
	// Reason is a CamelCase word that conditions and metrics can carry, such
	// as SecretNotFound.
	Reason string
	// After is the shortest time to wait when the provider states one.
	After time.Duration
	// Code is the provider's own code or HTTP status, empty when none came.
	Code string
	// Message says what happened and what to change, without a secret.
	Message string
	// Err is the cause, for errors.Is; its text is not repeated.
	Err error
}

// Error gives the message with the provider's code.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return fmt.Sprintf("%s (%s)", e.Message, e.Code)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Because sets the cause for errors.Is, where the message says it already.
func (e *Error) Because(cause error) *Error {
	e.Err = cause
	return e
}

// Retry makes a Retryable error; after is zero when the provider states none.
func Retry(after time.Duration, reason, format string, args ...any) *Error {
	return newError(Retryable, after, reason, format, args)
}

// NewIdentity makes a NeedsNewIdentity error.
func NewIdentity(reason, format string, args ...any) *Error {
	return newError(NeedsNewIdentity, 0, reason, format, args)
}

// Terminate makes a Terminal error.
func Terminate(reason, format string, args ...any) *Error {
	return newError(Terminal, 0, reason, format, args)
}

// Deny makes a Denied error.
func Deny(reason, format string, args ...any) *Error {
	return newError(Denied, 0, reason, format, args)
}

// newError keeps a cause given with %w for errors.Is.
func newError(class Class, after time.Duration, reason, format string, args []any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: class, Reason: reason, After: after, Message: err.Error(), Err: errors.Unwrap(err)}
}

// ClassOf tells how to treat err; what is not an *Error is Retryable.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Retryable
}
