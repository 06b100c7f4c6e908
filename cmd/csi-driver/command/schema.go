package command

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/deploy"
)

// schema is the part of a CRD's schema that is printed.
type schema struct {
	Type                 string            `json:"type"`
	Description          string            `json:"description"`
	Enum                 []any             `json:"enum"`
	Required             []string          `json:"required"`
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
	AdditionalProperties *schema           `json:"additionalProperties"`
}

// field is one field of an issuer's configuration; with an empty path the
// configuration itself.
type field struct {
	path     string
	required bool
	schema   schema
}

// issuerFields reads the documentation of a kind's fields from the CRD, which
// is generated from the same comments as kubectl explain shows.
func issuerFields(kind string) ([]field, error) {
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(deploy.ConnectorCRD()), &crd); err != nil {
		return nil, fmt.Errorf("reading the Connector's schema: %w", err)
	}
	var fields []field
	for _, version := range crd.Spec.Versions {
		issuer := version.Schema.OpenAPIV3Schema.Properties["spec"].Properties["issuer"]
		fields = appendFields(append(fields, field{schema: issuer.Properties[kind]}), "", issuer.Properties[kind])
	}
	return fields, nil
}

// appendFields lists the fields of an object and of what is in it, those that
// are required first.
func appendFields(fields []field, path string, s schema) []field {
	required := func(name string) bool { return slices.Contains(s.Required, name) }
	for _, name := range slices.SortedFunc(maps.Keys(s.Properties), func(a, b string) int {
		return cmp.Or(-compareBool(required(a), required(b)), strings.Compare(a, b))
	}) {
		child := s.Properties[name]
		fields = append(fields, field{path: path + name, required: required(name), schema: child})
		if child.Items != nil {
			fields = appendFields(fields, path+name+"[].", *child.Items)
		}
		fields = appendFields(fields, path+name+".", child)
	}
	return fields
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

func (f field) print(w io.Writer, indent string) {
	if f.path != "" {
		words := []string{f.schema.kind()}
		if f.required {
			words = append(words, "required")
		}
		fmt.Fprintf(w, "%s%s (%s)\n", indent, f.path, strings.Join(words, ", "))
		indent += "    "
	}
	for line := range strings.Lines(f.schema.Description) {
		fmt.Fprintf(w, "%s%s\n", indent, strings.TrimRight(line, "\n"))
	}
}

// kind says in one word what a value is.
func (s schema) kind() string {
	switch {
	case len(s.Enum) > 0:
		words := make([]string, len(s.Enum))
		for i, value := range s.Enum {
			words[i] = fmt.Sprint(value)
		}
		return strings.Join(words, " | ")
	case s.Items != nil:
		return "list of " + s.Items.kind()
	case s.AdditionalProperties != nil:
		return "map of " + s.AdditionalProperties.kind()
	default:
		return s.Type
	}
}
