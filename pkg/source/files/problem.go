package files

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a file. It never quotes a secret.
type Problem struct {
	// File is the path below the directory, or as it was given to Validate.
	File string
	// Document is the number of the YAML document, from 1, and Line the line
	// of the mistake; both are zero when the whole file is meant.
	Document, Line int
	// Object names what is meant, such as "Connector ci/harbor", when known.
	Object string
	// Err is the mistake, a *connector.FieldError where a field is to blame.
	Err error
}

// String gives everything in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Document > 1 {
		fmt.Fprintf(&b, " (document %d)", p.Document)
	}
	if p.Object != "" {
		b.WriteString(": " + p.Object)
	}
	b.WriteString(": " + p.Err.Error())
	return b.String()
}

// compareProblems orders by place; the text makes the order of two in one line
// the same each time.
func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Err.Error(), b.Err.Error()))
}

// news returns the problems that were not there before.
func news(before, now []Problem) []Problem {
	known := make(map[string]bool, len(before))
	for _, p := range before {
		known[p.String()] = true
	}
	return slices.DeleteFunc(slices.Clone(now), func(p Problem) bool { return known[p.String()] })
}
