package model

import (
	"fmt"
	"strings"
)

// step is one line of a script: words, and for some the steps that run at
// once. Any step has a meaning in any state, so that lines can be left out.
type step struct {
	words []string
	with  []step
}

func say(words ...string) step { return step{words: words} }

func (s step) String() string {
	text := strings.Join(s.words, " ")
	if s.with == nil {
		return text
	}
	var inner []string
	for _, w := range s.with {
		inner = append(inner, w.String())
	}
	return text + " { " + strings.Join(inner, " ; ") + " }"
}

// size counts steps.
func size(script []step) (n int) {
	for _, s := range script {
		n += 1 + len(s.with)
	}
	return n
}

func text(script []step) string {
	var b strings.Builder
	for _, s := range script {
		b.WriteString(s.String() + "\n")
	}
	return b.String()
}

// parse reads what text writes; blank lines and those that begin with # are
// for people.
func parse(script string) ([]step, error) {
	var steps []step
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		outer, rest, nested := strings.Cut(line, "{")
		s := say(strings.Fields(outer)...)
		if nested {
			inner, found := strings.CutSuffix(rest, "}")
			if !found {
				return nil, fmt.Errorf("line %q: close the brace", line)
			}
			s.with = []step{}
			for one := range strings.SplitSeq(inner, ";") {
				if words := strings.Fields(one); len(words) > 0 {
					s.with = append(s.with, say(words...))
				}
			}
		}
		steps = append(steps, s)
	}
	return steps, nil
}
