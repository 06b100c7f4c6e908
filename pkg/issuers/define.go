package issuers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Docs is what people are told about a kind, and what the core must know
// before it builds one.
type Docs struct {
	// Summary is one sentence.
	Summary string
	// Identity says who the provider sees: "static", "pod ServiceAccount", …
	Identity string
	// Life says how long a credential lives and what ends it.
	Life string
	// Static: the kind hands out what its owner stored, as its name says.
	Static bool
	// Sharing is the widest sharing that makes sense, unless the Connector
	// narrows it.
	Sharing connector.Sharing
	// NeedsRegistries: the kind serves the hosts that the Connector declares
	// and knows no others, so there must be one.
	NeedsRegistries bool
}

// Definition describes one kind of issuer to the core, the CRD, the command
// line and the docs.
type Definition struct {
	Kind string
	Docs
	// Example is a complete Connector manifest, valid as it stands.
	Example string
	// Config is the Go type of the kind's configuration.
	Config reflect.Type
	// New builds an issuer from a configuration in JSON, strictly: an unknown
	// field is an error. All mistakes are reported at once, joined.
	New func(config json.RawMessage) (Issuer, error)
}

// Config is the configuration of a kind: a struct with JSON tags.
type Config interface {
	// Validate reports every mistake, each a *connector.FieldError relative
	// to the configuration, joined by errors.Join.
	Validate() error
}

// Define ties a kind to the constructor over its configuration.
func Define[C Config](kind string, docs Docs, example string, construct func(C) Issuer) Definition {
	return Definition{
		Kind: kind, Docs: docs, Example: example, Config: reflect.TypeFor[C](),
		New: func(raw json.RawMessage) (Issuer, error) {
			var config C
			if err := decodeStrict(raw, &config); err != nil {
				return nil, connector.Errorf(connector.ErrInvalid, "issuer %s: %w", kind, err)
			}
			if err := config.Validate(); err != nil {
				return nil, err
			}
			return construct(config), nil
		},
	}
}

func decodeStrict(raw json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one value")
	}
	return nil
}
