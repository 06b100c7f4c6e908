package render

import (
	"fmt"
	"io"
)

// File is one file of a volume. Its Path is relative, slash-separated and
// clean. It prints as its path and size only.
type File struct {
	Path string
	Data []byte
	// Secret: the file holds a credential or client key, so superseded copies
	// are truncated before they are unlinked.
	Secret bool
	// Program: the file is the program of this name, which whoever shows the
	// files brings, for everyone to execute. Data is empty, and the program has
	// its directory to itself.
	Program bool
}

// Format implements fmt.Formatter for every verb, so that no content leaks
// into a log by accident.
func (f File) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, f.String()) // fmt offers no way to report it
}

// String gives path and size.
func (f File) String() string { return fmt.Sprintf("%s (%d bytes)", f.Path, len(f.Data)) }

// Files is a volume's content, sorted by path, no path twice.
type Files []File
