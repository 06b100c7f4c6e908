package manifest

import "strings"

// closest returns the known word that key was probably meant to be, or "".
func closest(key string, known []string) string {
	if len(key) > 64 {
		return ""
	}
	best, least := "", len(key)/3+1 // about one slip in three letters
	for _, word := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(word)); d <= least && (best == "" || d < least) {
			best, least = word, d
		}
	}
	return best
}

// distance is the Levenshtein distance by bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
