package tmpfs

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// What happened comes first, then what to change; the class is for the code.
func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"making a tmpfs: too many open files: raise the limit of open files":      doing("making a tmpfs", unix.EMFILE),
		"making a tmpfs: cannot allocate memory: raise the driver's memory limit": doing("making a tmpfs", unix.ENOMEM),
		"making a tmpfs: no space left on device":                                 doing("making a tmpfs", unix.ENOSPC),
		"writing config.json: too many open files: raise the limit of open files": writing("config.json", unix.EMFILE),
		"writing config.json: no space left on device: a volume holds 4194304 bytes in 4096 files, old and new content together: ask for fewer configurations, or make the Secret or the CA bundles smaller": writing("config.json", unix.ENOSPC),
	} {
		if err.Error() != want || !errors.Is(err, connector.ErrExhausted) {
			t.Errorf("got %v, want exhausted: %s", err, want)
		}
	}
}
