package connector

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
)

const redacted = "[redacted]"

// Secret is text that must never be printed. Every way in which Go renders a
// value (all fmt verbs, JSON, text, gob, structured logs, also when the value
// sits in an unexported field) gives "[redacted]" or an address; only Reveal
// gives the text. The zero Secret is empty.
//
// It wraps a pointer because fmt calls no methods on unexported fields: a
// defined string type would be printed from there in full.
type Secret struct {
	text *string
}

// NewSecret wraps text. An empty text gives the zero Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// Reveal returns the text. Call it only where the text leaves for its
// destination: a request to the provider or a file of the volume.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is no text.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal compares the texts in constant time.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) } // fmt offers no way to report it

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// MarshalJSON implements json.Marshaler.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalYAML implements the yaml packages' Marshaler.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// MarshalLog implements logr.Marshaler.
func (Secret) MarshalLog() any { return redacted }

// GobEncode implements gob.GobEncoder by refusing.
func (Secret) GobEncode() ([]byte, error) {
	return nil, errors.New("a secret is not encoded with gob")
}

// UnmarshalJSON refuses, so that a record that holds secrets has to say how
// it stores them.
func (*Secret) UnmarshalJSON([]byte) error {
	return errors.New("a secret is not decoded from JSON")
}
