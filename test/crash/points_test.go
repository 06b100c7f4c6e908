package crash

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// scenario is an operation that is cut off before each of its changing system
// calls in turn.
type scenario struct {
	// least is how many points there are at least; fewer would mean that the
	// calls are not seen.
	least int
	// begin brings the node to where the operation starts; i counts.
	begin func(i int)
	// act does the operation and returns when its last effect is there, or
	// the driver is killed.
	act func() error
	// mend does what a kubelet does after the driver came back, and checks.
	mend func()
}

// cutAtEachPoint runs the operation again and again, each time one system
// call further, until it survives.
func (n *node) cutAtEachPoint(s scenario) {
	n.t.Helper()
	for i := 1; ; i++ {
		s.begin(i)
		before := n.credentialRecords()
		n.killer.Arm(i)
		err := s.act()
		at := n.killer.Disarm()
		if at == "" {
			must(n.t, err)
			if i <= s.least {
				n.t.Errorf("only %d points to be killed at", i-1)
			}
			n.t.Logf("killed at %d points", i-1)
			return
		}
		<-n.driver.Done()
		n.kept = slices.ContainsFunc(n.credentialRecords(), func(r string) bool { return !slices.Contains(before, r) })
		n.where = fmt.Sprintf("killed at point %d, before %s", i, at)
		n.restart()
		s.mend()
		n.where = ""
	}
}

// newDeadlyNode has two pods that read all the time.
func newDeadlyNode(t *testing.T, flags ...string) *node {
	t.Helper()
	t.Parallel()
	n := newNode(t, true, flags...)
	n.stand(aPod("standing", "objects,static"), aPod("logged-in", "static"))
	return n
}

func TestPublishIsKilled(t *testing.T) {
	const points = 40
	for _, connector := range []string{"objects", "static"} {
		t.Run("with "+connector+", and retried", func(t *testing.T) {
			n := newDeadlyNode(t, "--linger=20s") // a retry comes within
			var v kubelet.Volume
			n.cutAtEachPoint(scenario{
				least: points,
				begin: func(i int) { v = aPod(fmt.Sprintf("pod-%d", i), connector) },
				act:   func() error { return n.publish(v) },
				mend: func() {
					must(t, n.publish(v))
					n.onlyOneLives(v)
					must(t, n.unpublish(v))
				},
			})
			must(t, n.unpublish(v))
			n.settled(n.standing...)
		})
		t.Run("with "+connector+", and unpublished", func(t *testing.T) {
			n := newDeadlyNode(t)
			var v kubelet.Volume
			n.cutAtEachPoint(scenario{
				least: points,
				begin: func(i int) { v = aPod(fmt.Sprintf("pod-%d", i), connector) },
				act:   func() error { return n.publish(v) },
				mend: func() {
					must(t, n.unpublish(v))
					n.settled(n.standing...)
				},
			})
			must(t, n.unpublish(v))
			n.settled(n.standing...)
		})
	}
	t.Run("and the pod is gone", func(t *testing.T) {
		n := newDeadlyNode(t)
		var v kubelet.Volume
		n.cutAtEachPoint(scenario{
			least: points,
			begin: func(i int) { v = aPod(fmt.Sprintf("pod-%d", i), "objects") },
			act:   func() error { return n.publish(v) },
			mend:  func() { n.vanish(v) },
		})
		n.vanish(v)
		n.settled(n.standing...) // mounts go when their pod was seen gone for a minute
	})
}

func TestUnpublishIsKilled(t *testing.T) {
	const points = 12
	scenarioOf := func(n *node, v *kubelet.Volume, mend func()) scenario {
		return scenario{
			least: points,
			begin: func(i int) {
				*v = aPod(fmt.Sprintf("pod-%d", i), "objects")
				must(n.t, n.publish(*v))
			},
			act: func() error {
				err := n.unpublish(*v)
				return errors.Join(err, n.await(n.isSettled(n.standing...))) // the object is revoked, too
			},
			mend: mend,
		}
	}
	t.Run("and retried", func(t *testing.T) {
		n := newDeadlyNode(t)
		var v kubelet.Volume
		n.cutAtEachPoint(scenarioOf(n, &v, func() {
			must(t, n.kubelet.Prepare(v)) // the kubelet still has its directory, unless the answer came
			must(t, n.unpublish(v))
			n.settled(n.standing...)
		}))
		n.settled(n.standing...)
	})
	t.Run("and the pod is gone", func(t *testing.T) {
		n := newDeadlyNode(t)
		var v kubelet.Volume
		n.cutAtEachPoint(scenarioOf(n, &v, func() { n.vanish(v) }))
		n.settled(n.standing...)
	})
}

// onlyOneLives waits until what a kill cut off is revoked, and checks that
// nothing else was obtained for the pod but what it shows; not even that when
// the credential was kept before the kill.
func (n *node) onlyOneLives(v kubelet.Volume) {
	n.t.Helper()
	logins, err := n.shown(v)
	must(n.t, err)
	must(n.t, n.await(func() error {
		for _, o := range n.provider.Of(v.Pod) {
			if shows := o.Name == logins[0].User; shows != o.Deleted.IsZero() {
				return fmt.Errorf("object %s: shown %v, deleted %v", o.Name, shows, o.Deleted)
			}
		}
		return nil
	}))
	made := len(n.provider.Of(v.Pod))
	if made > 2 || (n.kept && made > 1) {
		n.t.Errorf("%s: %d objects were made for pod %s", n.where, made, v.Pod)
	}
}
