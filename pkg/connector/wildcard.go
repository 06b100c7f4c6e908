package connector

import "strings"

// covers reports whether pattern matches everything that repository, itself a
// name or a pattern, can stand for. In doubt it says no.
func covers(pattern, repository string) bool {
	patterns, segments := strings.Split(pattern, "/"), strings.Split(repository, "/")
	return wildcard(len(patterns), len(segments),
		func(p int) bool { return patterns[p] == "**" },
		func(p, s int) bool { return segments[s] != "**" && segmentCovers(patterns[p], segments[s]) })
}

// segmentCovers matches one segment; a * of the right side is met only by a *
// of the left side.
func segmentCovers(pattern, text string) bool {
	return wildcard(len(pattern), len(text),
		func(p int) bool { return pattern[p] == '*' },
		func(p, t int) bool { return pattern[p] == text[t] })
}

// wildcard matches a pattern of some length against a text: star tells which
// of the pattern's items stand for any number of the text's, and meets whether
// another one stands for one of the text's.
//
// Only the last star seen is ever extended: an earlier one could but give away
// what the last one takes as well. So the time is at most the product of both
// lengths, whatever a stranger writes.
func wildcard(pattern, text int, star func(p int) bool, meets func(p, t int) bool) bool {
	p, t := 0, 0
	last, taken := -1, 0 // the last star, and the text up to which it reaches
	for t < text {
		switch {
		case p < pattern && star(p):
			last, taken = p, t
			p++
		case p < pattern && meets(p, t):
			p, t = p+1, t+1
		case last >= 0:
			taken++
			p, t = last+1, taken
		default:
			return false
		}
	}
	for p < pattern && star(p) {
		p++
	}
	return p == pattern
}
