package v1alpha1

import (
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// mistakes collects what is wrong with one manifest.
type mistakes struct{ errs []error }

func (m *mistakes) add(path, format string, args ...any) {
	m.errs = append(m.errs, connector.Field(path, format, args...))
}

// result gives the connector when there was no mistake.
func (m *mistakes) result(c *connector.Connector) (*connector.Connector, error) {
	if len(m.errs) > 0 {
		return nil, errors.Join(m.errs...)
	}
	return c, nil
}

// objectName checks the name of an object as the API server does.
func (m *mistakes) objectName(path, name string) {
	switch {
	case name == "":
		m.add(path, "is missing")
	case len(validation.IsDNS1123Subdomain(name)) > 0:
		m.add(path, "%q is no name: use lower-case letters, digits, dashes and dots, at most 253", name)
	}
}

func (m *mistakes) namespace(path, name string) {
	switch {
	case name == "":
		m.add(path, "is missing")
	case len(validation.IsDNS1123Label(name)) > 0:
		m.add(path, "%q is no namespace: use lower-case letters, digits and dashes, at most 63", name)
	}
}

// duration gives zero, the default, for what is left out.
func duration(d *connector.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}

// notEmpty refuses a list that is there and empty: it limits nothing, which
// is not what it looks like.
func notEmpty[T any](m *mistakes, path string, list []T) {
	if list != nil && len(list) == 0 {
		m.add(path, "an empty list limits nothing: leave it out, or name what is meant")
	}
}

// limited reports a list that is longer than the API allows, and what of it is
// looked at: nobody waits for mistakes in a million items.
func limited[T any](m *mistakes, path string, list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	m.add(path, "has %d items; at most %d: split the Connector", len(list), most)
	return list[:most]
}

// enum accepts an empty value, which stands for the default.
func enum[T ~string](m *mistakes, path string, value T, allowed ...T) T {
	if value != "" && !slices.Contains(allowed, value) {
		var choice strings.Builder
		for i, a := range allowed {
			switch {
			case i > 0 && i == len(allowed)-1:
				choice.WriteString(" or ")
			case i > 0:
				choice.WriteString(", ")
			}
			choice.WriteString(string(a))
		}
		m.add(path, "%q is unknown: write %s", string(value), choice.String())
	}
	return value
}

// detail is the text of an error without the word for its class.
func detail(err error) string {
	return strings.TrimPrefix(err.Error(), connector.ErrInvalid.Error()+": ")
}
