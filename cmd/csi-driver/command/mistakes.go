package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/regcred/csi-driver-regcred/internal/suggest"
)

// mistakes collects what is wrong with a command line, so that everything is
// told at once.
type mistakes []error

// flag notes a mistake in the value of a flag; a nil error is none.
func (m *mistakes) flag(name string, err error) {
	if err != nil {
		*m = append(*m, fmt.Errorf("--%s %w", name, err))
	}
}

// err is nil when there is no mistake.
func (m mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return usageError{errors.Join(m...)}
}

// didYouMean ends an error about an unknown word.
func didYouMean(word string, known []string) string {
	if meant := suggest.Closest(word, known); meant != "" {
		return fmt.Sprintf("; did you mean %q?", meant)
	}
	return " (known: " + strings.Join(known, ", ") + ")"
}
