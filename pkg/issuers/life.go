package issuers

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const century = 100 * 365 * 24 * time.Hour

// Believable is a time that somebody stated, as far as it can be meant and
// recorded. More than a century ahead is zero, which is no known end: it may be
// milliseconds where seconds belong, and JSON has no year of five digits.
// Before 1970 is 1970, which has passed as well.
func Believable(stated time.Time) time.Time {
	switch epoch := time.Unix(0, 0); {
	case time.Until(stated) > century:
		return time.Time{}
	case stated.Before(epoch):
		return epoch
	default:
		return stated
	}
}

// OutlivesADay reports whether a credential counts as long-lived by its times:
// it has no known end, or one more than 24 h after its issue.
func OutlivesADay(issued, expires time.Time) bool {
	return expires.IsZero() || expires.Sub(issued) > connector.MaxShortLife
}
