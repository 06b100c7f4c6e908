package connector

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The classes of failure that a caller acts on. An error wraps one of them;
// pkg/driver turns the class into a CSI code, in one place.
var (
	// ErrInvalid: the request or a manifest is wrong; repeating it cannot help.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: the named object does not exist (yet).
	ErrNotFound = errors.New("not found")
	// ErrDenied: consent or permission is missing, or the provider refused the identity.
	ErrDenied = errors.New("denied")
	// ErrPrecondition: something outside the request must be changed first.
	ErrPrecondition = errors.New("failed precondition")
	// ErrUnavailable: a dependency does not answer; repeating may help.
	ErrUnavailable = errors.New("unavailable")
	// ErrExhausted: a limit was reached, such as a provider's rate or the node's memory.
	ErrExhausted = errors.New("resource exhausted")
	// ErrConflict: the volume exists with another target or other attributes.
	ErrConflict = errors.New("already exists")
	// ErrAborted: another operation on the same volume superseded this one.
	ErrAborted = errors.New("aborted")
)

// FieldError is a mistake in one field of a manifest or request. It wraps
// ErrInvalid.
type FieldError struct {
	Path   string // such as spec.issuer.secret.name; relative until FieldErrors completes it
	Detail string // what is wrong and what to write instead
}

// What one mistake says at most. A path and a detail may quote what a stranger
// wrote.
const (
	maxPath   = 512 // bytes
	maxDetail = 1024
)

// Error gives path and detail in one line of bounded length.
func (e *FieldError) Error() string {
	return brief(e.Path, maxPath) + ": " + brief(e.Detail, maxDetail)
}

// brief makes a text one printable line and cuts its end off beyond the limit.
func brief(text string, limit int) string {
	cut := len(text) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if cut {
		text += "…"
	}
	return text
}

// Unwrap makes a FieldError an ErrInvalid.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Field makes a FieldError.
func Field(path, format string, args ...any) *FieldError {
	return &FieldError{Path: path, Detail: fmt.Sprintf(format, args...)}
}

// FieldErrors lists every FieldError that err joins, with prefix put before
// its path. What is not a FieldError becomes one at prefix itself.
func FieldErrors(prefix string, err error) []*FieldError {
	if err == nil {
		return nil
	}
	if _, leaf := err.(*classified); leaf { //nolint:errorlint // only err itself; what it wraps is not asked
		return []*FieldError{{Path: prefix, Detail: err.Error()}}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*FieldError
		for _, e := range joined.Unwrap() {
			all = append(all, FieldErrors(prefix, e)...)
		}
		return all
	}
	var field *FieldError
	if !errors.As(err, &field) {
		return []*FieldError{{Path: prefix, Detail: err.Error()}}
	}
	return []*FieldError{{Path: joinPath(prefix, field.Path), Detail: field.Detail}}
}

func joinPath(prefix, path string) string {
	if prefix == "" || path == "" {
		return prefix + path
	}
	return prefix + "." + path
}

// Errorf makes an error of a class whose text does not name the class: the
// reader is told what happened, and errors.Is finds the class.
func Errorf(class error, format string, args ...any) error {
	return &classified{class: class, err: fmt.Errorf(format, args...)}
}

type classified struct{ class, err error }

// Error gives the text alone.
func (c *classified) Error() string { return c.err.Error() }

// Unwrap leads to the class and to what the text wraps.
func (c *classified) Unwrap() []error { return []error{c.class, c.err} }
