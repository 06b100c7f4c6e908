package env

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// joined makes one error of all that is wrong, so that it can be corrected in
// one go. A login that its owner took back decides what is done about it, else
// the first mistake does. It is nil without any.
func joined(mistakes []error) error {
	var lead *issuers.Error
	var texts []string
	for _, err := range mistakes {
		e, ok := errors.AsType[*issuers.Error](err)
		if !ok {
			e = issuers.Retry(0, "SecretUnreadable", "%w", err)
		}
		if lead == nil || errors.Is(e, connector.ErrDenied) && !errors.Is(lead, connector.ErrDenied) {
			lead = e
		}
		if text := e.Error(); !slices.Contains(texts, text) { // a Secret is often named twice
			texts = append(texts, text)
		}
	}
	switch len(texts) {
	case 0:
		return nil
	case 1:
		return lead
	}
	if more := len(texts) - maxListed; more > 0 {
		texts = append(texts[:maxListed], fmt.Sprintf("and %d more", more))
	}
	return &issuers.Error{
		Class: lead.Class, Reason: lead.Reason, After: lead.After, Message: strings.Join(texts, "; "), Err: errors.Join(mistakes...),
	}
}
