package clients

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/clients.md from what the clients did")

// The page, and what of it the matrix is written between.
const (
	page       = "../../docs/clients.md"
	pageBegins = "<!-- written by: go test -C test/clients -run TestMatrix -update -->\n"
	pageEnds   = "<!-- end of what is written -->\n"
)

// comparePage holds docs/clients.md against what the clients did.
func comparePage(t *testing.T, seen *results) {
	t.Helper()
	matrix, complete := seen.markdown()
	if !complete {
		t.Log("docs/clients.md is not compared: not every client was in every situation")
		return
	}
	old, err := os.ReadFile(page)
	must(t, err)
	before, rest, begins := strings.Cut(string(old), pageBegins)
	_, after, ends := strings.Cut(rest, pageEnds)
	if !begins || !ends {
		t.Fatalf("%s lacks the lines between which the matrix belongs:\n%s%s", page, pageBegins, pageEnds)
	}
	want := before + pageBegins + matrix + pageEnds + after
	if *update {
		must(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	if diff := cmp.Diff(string(old), want); diff != "" {
		t.Errorf("%s is not what the clients do: run go test -C test/clients -run TestMatrix -update (-page +clients):\n%s", page, diff)
	}
}

// markdown is the matrix as tables, and whether every cell of it is known.
func (r *results) markdown() (text string, complete bool) {
	var out strings.Builder
	var reasons []string
	clients, columns := programs(), ""
	for _, p := range clients {
		columns += " " + p.name + " |"
	}
	fmt.Fprintf(&out, "\n| |%s\n|---|%s\n", columns, strings.Repeat("---|", len(clients)))
	for _, s := range situations() {
		fmt.Fprintf(&out, "| %s |", s.name)
		for _, p := range clients {
			passed, known := r.of(s.name, p.name)
			switch {
			case !known:
				return "", false
			case passed:
				out.WriteString(" yes |")
			default:
				reason := s.cannot(p)
				if !slices.Contains(reasons, reason) {
					reasons = append(reasons, reason)
				}
				fmt.Fprintf(&out, " no (%d) |", slices.Index(reasons, reason)+1)
			}
		}
		out.WriteString("\n")
	}
	out.WriteString("\n")
	for i, reason := range reasons {
		fmt.Fprintf(&out, "%d. %s\n", i+1, reason)
	}
	out.WriteString("\nA client with a yes\n\n")
	for _, s := range situations() {
		fmt.Fprintf(&out, "- **%s**: %s\n", s.name, s.means)
	}
	out.WriteString("\n| client | what was run |\n|---|---|\n")
	for _, p := range clients {
		fmt.Fprintf(&out, "| [%s](clients/%s.md) | %s |\n", p.name, p.name, p.origin)
	}
	out.WriteString("\n")
	return out.String(), true
}
