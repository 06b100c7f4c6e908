package crash

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/regcred/csi-driver-regcred/test/held"
	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// hold is a volume that somebody holds.
type hold struct {
	of kubelet.Volume
	is *held.Volume
}

// secrets are the passwords of the provider and of passwordOf.
var secrets = held.Contains(regexp.MustCompile(`[A-Z2-7]{78}|p-[a-z0-9-]+\.p-`))

// hold has somebody keep what volumes show now: open files, the whole volume and
// its directories, as a second mount namespace and a subPath would. It counts
// only as long as it is looked at by cut.
func (n *node) hold(volumes ...kubelet.Volume) {
	n.t.Helper()
	for _, v := range volumes {
		is, err := held.Take(n.kubelet.Target(v), secrets)
		must(n.t, err)
		n.t.Cleanup(func() { must(n.t, is.Close()) })
		n.held = append(n.held, hold{v, is})
	}
}

// cut looks whether those who hold one of these volumes, or any if none is
// named, read a secret that is not in force. What of a volume that went is cut
// needs no other look.
func (n *node) cut(volumes ...kubelet.Volume) error {
	var kept []hold
	var errs []error
	for _, h := range n.held {
		if len(volumes) > 0 && !slices.ContainsFunc(volumes, func(v kubelet.Volume) bool { return v.ID() == h.of.ID() }) {
			kept = append(kept, h)
			continue
		}
		target := n.kubelet.Target(h.of)
		inForce, err := held.InForce(target)
		left := ""
		if err == nil {
			left, err = h.is.Shows(inForce)
		}
		if left != "" {
			err = fmt.Errorf("a secret of pod %s that went is still in %s", h.of.Pod, left)
		}
		switch {
		case err != nil:
			errs = append(errs, err)
			kept = append(kept, h)
		case h.is.At(target):
			kept = append(kept, h)
		default:
			errs = append(errs, h.is.Close())
		}
	}
	n.held = kept
	return errors.Join(errs...)
}
