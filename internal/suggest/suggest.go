// Package suggest finds the word that a user probably meant.
package suggest

import (
	"fmt"
	"strings"
)

// farApart is the length beyond which words are not compared.
const farApart = 64

// Closest returns the known word that word was probably meant to be, without
// regard to case, or "" when none is near: about one slip in three letters.
func Closest(word string, known []string) string {
	if len(word) > farApart {
		return ""
	}
	best, least := "", max(2, len(word)/3)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// DidYouMean ends an error about an unknown word with the known word that was
// probably meant, or with nothing when none is near.
func DidYouMean(word string, known []string) string {
	if meant := Closest(word, known); meant != "" {
		return fmt.Sprintf("; did you mean %q?", meant)
	}
	return ""
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	beforeLast := make([]int, len(b)+1)
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], beforeLast[j-1]+1)
			}
		}
		beforeLast, last = last, row
	}
	return last[len(b)]
}
