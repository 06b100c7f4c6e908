package issuers

import "time"

const (
	century = 100 * 365 * 24 * time.Hour
	longest = 24 * time.Hour
)

// Believable is an end that somebody stated, or zero, which is no known end,
// when it is more than a century away: nobody means that (it may be
// milliseconds where seconds belong), and records cannot hold a year of five
// digits.
func Believable(end time.Time) time.Time {
	if time.Until(end) > century {
		return time.Time{}
	}
	return end
}

// OutlivesADay reports whether a credential counts as long-lived by its times:
// it has no known end, or one more than 24 h after its issue.
func OutlivesADay(issued, expires time.Time) bool {
	return expires.IsZero() || expires.Sub(issued) > longest
}
