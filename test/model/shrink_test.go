package model

import (
	"slices"
	"strings"
)

// shrink leaves out of a failing script what it fails without: ever smaller
// pieces, then single steps of batches, then it simplifies words. It stops when
// nothing can go any more, or when it is enough.
func shrink(script []step, enough func() bool, fails func([]step) bool) []step {
	ask := func(candidate []step) bool { return !enough() && fails(candidate) }
	for before := ""; before != text(script); {
		before = text(script)
		script = leaveOut(script, ask)
		for i := 0; i < len(script); i++ {
			for _, simpler := range simplify(script[i]) {
				candidate := slices.Concat(script[:i], simpler, script[i+1:])
				if ask(candidate) {
					script = candidate
					i--
					break
				}
			}
			i = max(i, 0)
		}
	}
	return script
}

// leaveOut removes pieces, the large ones first, from the end.
func leaveOut(script []step, fails func([]step) bool) []step {
	for piece := len(script) / 2; piece > 0; piece /= 2 {
		for end := len(script); end > 0; end -= piece {
			from := max(0, end-piece)
			if end > len(script) {
				continue
			}
			if candidate := slices.Concat(script[:from], script[end:]); fails(candidate) {
				script = candidate
			}
		}
	}
	return script
}

// simplify offers what one line may be replaced by.
func simplify(s step) (all [][]step) {
	if s.with != nil {
		if s.words[0] == "together" {
			all = append(all, s.with) // one after the other
		}
		for i := range s.with {
			smaller := s
			smaller.with = slices.Concat(s.with[:i], s.with[i+1:])
			all = append(all, []step{smaller})
		}
	}
	change := func(at int, word string) {
		if s.words[at] == word {
			return
		}
		simpler := s
		simpler.words = slices.Clone(s.words)
		simpler.words[at] = word
		all = append(all, []step{simpler})
	}
	switch s.words[0] {
	case "publish":
		if len(s.words) > 3 {
			all = append(all, []step{say(s.words[:3]...)})
		}
		if names := strings.Split(s.words[2], ","); len(names) > 1 {
			for i := range names {
				change(2, strings.Join(slices.Concat(names[:i], names[i+1:]), ","))
			}
		}
	case "kill":
		change(2, "1s")
	case "stop", "reboot", "lose", "pass", "idle":
		change(1, "1s")
	}
	return all
}
