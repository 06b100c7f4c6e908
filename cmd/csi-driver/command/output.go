package command

import (
	"fmt"
	"io"
)

// output is standard output of which no error is lost: most of what prints
// does not look at them, and a script must not take half an answer for one.
type output struct {
	to  io.Writer
	err error // the first one; nothing is written after it
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(p)
	if err != nil {
		o.err = fmt.Errorf("printing: %w", err)
	}
	return n, o.err
}
