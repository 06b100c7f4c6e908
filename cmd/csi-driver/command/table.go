package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table prints rows below a header, in columns; nothing when there is no row.
// An empty cell becomes a dash, so that columns stay apart for awk as well.
func table(w io.Writer, title string, header []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	indent := ""
	if title != "" {
		fmt.Fprintln(w, title)
		indent = "  "
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = cell; cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(t, indent+strings.Join(cells, "\t"))
	}
	return t.Flush()
}
