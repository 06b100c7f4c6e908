package command

import (
	"cmp"
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

// didYouMean ends an error about an unknown word with the one that was meant,
// or with those that there are.
func didYouMean(word string, known []string) string {
	return cmp.Or(suggest.DidYouMean(word, known), " (known: "+strings.Join(known, ", ")+")")
}
