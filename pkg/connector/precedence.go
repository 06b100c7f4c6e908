package connector

import (
	"cmp"
	"fmt"
	"strings"
)

// Rule is what decides which of two entries comes first, numbered as the
// documentation numbers the rules of precedence. Zero is no rule.
type Rule int

// The rules of precedence, in the order in which they are asked.
const (
	LiteralHost    Rule = 1 + iota // no glob in the host before a glob
	LiteralPath                    // no glob in the path before a glob
	MoreSegments                   // the longer path
	MoreCharacters                 // more characters that are no glob
	ListOrder                      // what is written first
)

// String gives the number and the rule in a few words.
func (r Rule) String() string {
	words := map[Rule]string{
		LiteralHost: "no glob in the host", LiteralPath: "no glob in the path", MoreSegments: "more path segments",
		MoreCharacters: "more literal characters", ListOrder: "list order",
	}
	if words[r] == "" {
		return "no rule"
	}
	return fmt.Sprintf("rule %d: %s", int(r), words[r])
}

// Decide orders keys by precedence, the winner first, and names the rule that
// decided. Of two keys of equal precedence (0) the one that is written first
// comes first, which is ListOrder.
func Decide(a, b Key) (order int, by Rule) {
	if order = cmp.Compare(globs(a.Host), globs(b.Host)); order != 0 {
		return order, LiteralHost
	}
	if order = cmp.Compare(globs(a.Path), globs(b.Path)); order != 0 {
		return order, LiteralPath
	}
	if order = cmp.Compare(segments(b.Path), segments(a.Path)); order != 0 {
		return order, MoreSegments
	}
	if order = cmp.Compare(literals(b), literals(a)); order != 0 {
		return order, MoreCharacters
	}
	return 0, ListOrder
}

// Compare is Decide for sorting. Equal precedence gives 0; a stable sort then
// keeps the order of the list.
func Compare(a, b Key) int {
	order, _ := Decide(a, b)
	return order
}

func globs(s string) int {
	if strings.Contains(s, "*") {
		return 1
	}
	return 0
}

func segments(path string) int {
	if path == "" {
		return 0
	}
	return strings.Count(path, "/") + 1
}

func literals(k Key) int { s := k.String(); return len(s) - strings.Count(s, "*") }
