package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/crash/provider"
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
func (n *node) cutAtEachPoint(s scenario) { n.cutAtEvery(1, 1, s) }

// cutAtEvery is cutAtEachPoint for the points first, first+stride and so on.
func (n *node) cutAtEvery(first, stride int, s scenario) {
	n.t.Helper()
	survived := 0
	for i := first; ; i += stride {
		s.begin(i)
		before := n.credentialRecords()
		n.killer.Arm(i) // begin may have killed before
		err := s.act()
		at := n.killer.Disarm()
		if at == "" {
			must(n.t, err)
			// What time begins may have begun before the killer was ready.
			if survived++; i <= s.least && survived <= 5 {
				i -= stride
				continue
			}
			if i <= s.least {
				n.t.Errorf("only %d points to be killed at", i-1)
			}
			n.t.Logf("killed at up to %d points", i-1)
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
	t.Parallel()
	const points = 40
	for connector, pod := range map[string]func(name string) kubelet.Volume{
		"objects":       func(name string) kubelet.Volume { return aPod(name, "objects") },
		"static":        func(name string) kubelet.Volume { return aPod(name, "static") },
		"docker-helper": func(name string) kubelet.Volume { return aHelpedPod(name, "objects") },
	} {
		t.Run("with "+connector+", and retried", func(t *testing.T) {
			n := newDeadlyNode(t, "--linger=20s") // a retry comes within
			var v kubelet.Volume
			n.cutAtEachPoint(scenario{
				least: points,
				begin: func(i int) { v = pod(fmt.Sprintf("pod-%d", i)) },
				act:   func() error { return n.publish(v) },
				mend: func() {
					must(t, n.publish(v))
					if isHelped(v) {
						must(t, n.helps(v))
					}
					n.onlyOneLives(v)
					n.hold(v)
					must(t, n.unpublish(v))
					must(t, n.cut(v))
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
				begin: func(i int) { v = pod(fmt.Sprintf("pod-%d", i)) },
				act:   func() error { return n.publish(v) },
				mend: func() {
					must(t, n.unpublish(v))
					n.settled(n.standing...)
				},
			})
			must(t, n.unpublish(v))
			n.settled(n.standing...)
			n.noDoubt()
		})
	}
	for name, pod := range map[string]func(name, connectors string) kubelet.Volume{
		"and the pod is gone": func(name, connectors string) kubelet.Volume { return aPod(name, connectors) }, "and the pod with docker-helper is gone": aHelpedPod,
	} {
		t.Run(name, func(t *testing.T) {
			n := newDeadlyNode(t)
			var v kubelet.Volume
			n.cutAtEachPoint(scenario{
				least: points,
				begin: func(i int) { v = pod(fmt.Sprintf("pod-%d", i), "objects") },
				act:   func() error { return n.publish(v) },
				mend:  func() { n.vanish(v) },
			})
			n.vanish(v)
			n.orphansGo()
		})
	}
}

func TestUnpublishIsKilled(t *testing.T) {
	t.Parallel()
	const points = 12
	scenarioOf := func(n *node, v *kubelet.Volume, configurations string, mend func()) scenario {
		return scenario{
			least: points,
			begin: func(i int) {
				*v = aPod(fmt.Sprintf("pod-%d", i), "objects,static", "configuration.names="+configurations)
				must(n.t, n.publish(*v))
				n.hold(*v)
			},
			act: func() error {
				err := n.unpublish(*v)
				revoked := func() error {
					if objects := n.provider.Of(v.Pod); objects[0].Deleted.IsZero() {
						return errors.New("the object lives on")
					}
					return nil
				}
				return errors.Join(err, n.await(revoked))
			},
			mend: mend,
		}
	}
	for _, configurations := range []string{"docker-config,fields", "docker-helper,fields"} {
		t.Run(configurations+" and retried", func(t *testing.T) {
			n := newDeadlyNode(t)
			var v kubelet.Volume
			n.cutAtEachPoint(scenarioOf(n, &v, configurations, func() {
				must(t, n.kubelet.Prepare(v)) // the kubelet still has its directory, unless the answer came
				must(t, n.unpublish(v))
				must(t, n.cut(v))
				n.settled(n.standing...)
			}))
			must(t, n.cut(v))
			n.settled(n.standing...)
		})
		t.Run(configurations+" and the pod is gone", func(t *testing.T) {
			n := newDeadlyNode(t)
			var v kubelet.Volume
			n.cutAtEachPoint(scenarioOf(n, &v, configurations, func() { n.vanish(v) }))
			n.orphansGo()
			must(t, n.cut())
		})
	}
}

// orphansGo waits until the driver has removed what pods left that are gone.
// They must be seen gone twice, a minute apart; what is left of their
// directories then is the kubelet's to remove.
func (n *node) orphansGo() {
	n.t.Helper()
	n.restart()
	must(n.t, n.await(func() error {
		pods, err := filepath.Glob(n.at("kubelet/pods/*"))
		must(n.t, err)
		for _, pod := range pods {
			if mounts := n.mountsBelow(pod); len(mounts) == 0 {
				must(n.t, os.RemoveAll(pod))
			}
		}
		return n.isSettled(n.standing...)()
	}))
}

// A republish changes nothing, so there is nothing to be cut off but its answer.
func TestRepublishIsKilled(t *testing.T) {
	n := newDeadlyNode(t)
	v := aPod("pod", "objects")
	must(t, n.publish(v))
	n.settled(append(n.standing, v)...)
	before, err := n.shown(v)
	must(t, err)
	n.cutAtEachPoint(scenario{
		least: 1,
		begin: func(int) {},
		act:   func() error { return n.publish(v) },
		mend: func() {
			must(t, n.publish(v))
			n.settled(append(n.standing, v)...)
		},
	})
	after, err := n.shown(v)
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" || len(n.provider.Of(v.Pod)) != 1 {
		t.Errorf("issued anew: %v\n%s", n.provider.Of(v.Pod), diff)
	}
	must(t, n.unpublish(v))
	n.settled(n.standing...)
}

// A credential is renewed because it is old, because its source
// differs, or because its Connector does; and static content changes.
func TestRewriteIsKilled(t *testing.T) {
	t.Parallel()
	const points = 25
	for name, c := range map[string]struct {
		connector string
		pod       kubelet.Volume
		change    func(n *node, i int) // asks for a rewrite; nil = time does
	}{
		"by time": {
			connector: `sharing: Pod, overlap: 50ms, maxAge: 1s, issuer: {distributionToken: {output: registryToken}}`,
			pod:       aPod("pod", "changing"),
		},
		"by the issuer's Secret": {
			connector: `sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken, secretRef: {name: account}}}`,
			pod:       aPod("pod", "changing"), change: func(n *node, i int) { n.login("account", fmt.Sprint("account-", i)) },
		},
		"by the Connector": {
			connector: `sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken}}`,
			pod:       aPod("pod", "changing"), change: func(n *node, i int) {
				n.declare("changing", fmt.Sprintf(`sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken, clientID: c%d}}`, i))
			},
		},
		"by the login itself, with docker-helper": {
			connector: `issuer: {secret: {name: account}}`,
			pod:       aHelpedPod("pod", "changing"), change: func(n *node, i int) { n.login("account", fmt.Sprint("account-", i)) },
		},
		"by the login itself": {
			connector: `issuer: {secret: {name: account}}`,
			pod:       aPod("pod", "changing"), change: func(n *node, i int) { n.login("account", fmt.Sprint("account-", i)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newDeadlyNode(t)
			n.login("account", "account-0")
			n.declare("changing", c.connector)
			v := c.pod
			must(t, n.await(func() error { return n.publish(v) })) // the Connector has to be seen first
			stop := n.read(v)
			live := append(slices.Clone(n.standing), v)
			var before []login
			var made, changes int
			rewritten := func() error {
				now, err := n.shown(v)
				if err == nil && slices.Equal(now, before) {
					err = errors.New("the former credential is still shown")
				}
				return errors.Join(err, n.isSettled(live...)())
			}
			n.cutAtEachPoint(scenario{
				least: points,
				begin: func(i int) {
					n.settled(live...)
					if i%2 == 1 { // the others are seen through the whole volume
						n.hold(v)
					}
					var err error
					before, err = n.shown(v)
					must(t, err)
					made = len(n.provider.Of(v.Pod))
					changes++
				},
				act: func() error {
					if c.change != nil { // not before the killer is ready
						c.change(n, changes)
					}
					return n.await(rewritten)
				},
				mend: func() {
					must(t, n.await(rewritten))
					if now := len(n.provider.Of(v.Pod)); c.change != nil && now-made > 2 {
						t.Errorf("%s: %d objects were made for one change", n.where, now-made)
					}
				},
			})
			n.settled(live...)
			n.declare("changing", strings.Replace(c.connector, "maxAge: 1s", "maxAge: 1h", 1)) // or there is always something young
			must(t, n.await(func() error { return n.cut(v) }))
			n.declare("changing", c.connector)
			n.settled(live...)
			stop()
			must(t, n.unpublish(v))
			must(t, n.cut(v))

			// By one process: it unpublishes before it has swept.
			must(t, n.publish(v))
			n.hold(v)
			var err error
			before, err = n.shown(v)
			must(t, err)
			if c.change != nil {
				c.change(n, 0)
			}
			must(t, n.await(rewritten))
			n.hold(v)
			must(t, n.unpublish(v))
			must(t, n.cut(v))
			n.settled(n.standing...)
		})
	}
}

// The owner takes his consent back. Whoever holds the volume reads no secret
// in it as soon as the entries are gone, wherever the driver was killed.
func TestEmptyingIsKilled(t *testing.T) {
	n := newDeadlyNode(t)
	const open, closed = "", "access: [], "
	withdraw := func(access string) {
		n.declare("changing", access+`sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken}}`)
	}
	withdraw(open)
	v := aPod("pod", "changing,static")
	must(t, n.await(func() error { return n.publish(v) }))
	entries := func(want int) func() error {
		return func() error {
			logins, err := n.shown(v)
			if err == nil && len(logins) != want {
				err = fmt.Errorf("%d entries, want %d", len(logins), want)
			}
			return err
		}
	}
	emptied := func() error {
		err := entries(1)()
		if err == nil {
			err = n.cut(v)
		}
		return err
	}
	n.cutAtEachPoint(scenario{
		least: 25,
		begin: func(int) {
			withdraw(open)
			must(t, n.await(entries(2)))
			n.hold(v)
		},
		act: func() error {
			withdraw(closed)
			return n.await(emptied)
		},
		mend: func() { must(t, n.await(emptied)) },
	})
	must(t, n.unpublish(v))
	must(t, n.cut())
	n.settled(n.standing...)
}

// The driver dies while it takes over what an earlier run left: a call that was
// cut off, a volume that was lost, one that was half removed, one whose content
// is behind and one with superseded content.
func TestRecoveryIsKilled(t *testing.T) {
	t.Parallel()
	const nodes = 4 // each start meets each point, so they share them
	for i := range nodes {
		t.Run(fmt.Sprint("node ", i), func(t *testing.T) { recoveryIsKilled(t, i+1, nodes) })
	}
}

func recoveryIsKilled(t *testing.T, first, stride int) {
	n := newDeadlyNode(t)
	n.stand(aHelpedPod("helped", "objects"))
	n.login("account", "account-0")
	n.declare("changing", `sharing: Pod, overlap: 50ms, issuer: {distributionToken: {output: registryToken, secretRef: {name: account}}}`)
	changing := aPod("changing", "changing")
	must(t, n.await(func() error { return n.publish(changing) }))
	n.read(changing)
	live := append(slices.Clone(n.standing), changing)
	var before []login
	var lost, cutOff, halfRemoved kubelet.Volume
	recovered := func() error {
		now, err := n.shown(changing)
		if err == nil && slices.Equal(now, before) {
			err = errors.New("the former credential is still shown")
		}
		return errors.Join(err, n.isSettled(live...)())
	}
	n.cutAtEvery(first, stride, scenario{
		least: 40,
		begin: func(i int) {
			n.settled(live...)
			var err error
			before, err = n.shown(changing)
			must(t, err)
			lost, cutOff, halfRemoved = aPod(fmt.Sprint("lost-", i), "objects"), aHelpedPod(fmt.Sprint("cut-", i), "objects"), aHelpedPod(fmt.Sprint("half-", i), "objects")
			for _, v := range []kubelet.Volume{lost, halfRemoved} {
				must(t, n.publish(v))
			}
			n.login("account", fmt.Sprint("account-", i, "-superseded"))
			must(t, n.await(func() error {
				if now, err := n.shown(changing); err != nil || slices.Equal(now, before) {
					return errors.New("the change is not there")
				}
				return nil
			}))
			before, err = n.shown(changing)
			must(t, err)
			n.hold(changing, halfRemoved)
			n.killer.ArmBefore("umount2")
			if err := n.unpublish(halfRemoved); err == nil {
				t.Error("an unpublish succeeds though it was cut off")
			}
			<-n.driver.Done()
			n.restart()
			if i/stride%3 == 0 { // each is asked for once more at every start, which is a point more
				n.dieOnReceipt(func() error { return n.publish(cutOff) })
			} else {
				n.driver.Kill()
			}
			must(t, unix.Unmount(n.kubelet.Target(lost), 0))
			n.login("account", fmt.Sprint("account-", i))
			n.vanish(lost)
			n.vanish(cutOff)
		},
		act: func() error {
			if err := n.start(); err != nil {
				return err
			}
			return errors.Join(n.unpublish(halfRemoved), n.await(recovered))
		},
		mend: func() {
			must(t, n.kubelet.Prepare(halfRemoved))
			must(t, n.unpublish(halfRemoved))
			must(t, n.cut(halfRemoved))
			must(t, n.await(recovered))
		},
	})
	must(t, n.await(func() error { return n.cut() }))
}

// dieOnReceipt kills the driver when the provider has made an object and the
// answer is still to come.
func (n *node) dieOnReceipt(act func() error) {
	n.t.Helper()
	n.provider.OnReceipt(func(provider.Object) { n.driver.Kill() })
	defer n.provider.OnReceipt(nil)
	if err := act(); err == nil {
		n.t.Error("a call succeeds though the provider's answer never came")
	}
	<-n.driver.Done()
}

// The request was delivered and the object made, but the answer never came.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	again := func(n *node, v kubelet.Volume) {
		must(n.t, n.publish(v))
		n.onlyOneLives(v)
		n.settled(append(slices.Clone(n.standing), v)...)
		must(n.t, n.unpublish(v))
	}
	for name, react := range map[string]func(n *node, v kubelet.Volume){
		"and the publish is retried": again,
		"and the pod is unpublished": func(n *node, v kubelet.Volume) { must(n.t, n.unpublish(v)) },
		"and the pod is gone":        func(n *node, v kubelet.Volume) { n.vanish(v) },
		"and the Connector is gone": func(n *node, v kubelet.Volume) {
			must(n.t, os.Remove(filepath.Join(n.at("connectors"), "objects.yaml")))
			must(n.t, n.unpublish(v))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newDeadlyNode(t)
			v := aPod("pod", "objects")
			n.dieOnReceipt(func() error { return n.publish(v) })
			n.restart()
			react(n, v)
			n.settled(n.standing...)
			n.noDoubt()
			if made := n.provider.Of("pod"); len(made) > 2 || made[0].Deleted.IsZero() {
				t.Errorf("in the books: %+v", made)
			}
		})
	}
}

// A driver that stops cleanly leaves nothing at all, wherever it is killed on
// the way: the next one does the rest.
func TestCleanStopIsKilled(t *testing.T) {
	t.Parallel()
	n := newNode(t, true)
	n.cutAtEachPoint(scenario{
		least: 8,
		begin: func(i int) {
			v := aHelpedPod(fmt.Sprint("pod-", i), "objects")
			must(t, n.publish(v))
			must(t, n.unpublish(v))
			n.settled()
		},
		act:  n.driver.Stop,
		mend: func() {},
	})
	must(t, n.start())
	n.leavesNothing()
}

// With volumes a stop leaves them as they are, and so does one that is killed.
func TestStopWithVolumesIsKilled(t *testing.T) {
	n := newDeadlyNode(t)
	before := len(n.provider.Objects())
	n.cutAtEachPoint(scenario{
		least: 1,
		begin: func(int) { n.settled(n.standing...) },
		act:   n.driver.Stop,
		mend:  func() {},
	})
	must(t, n.start())
	n.settled(n.standing...)
	if made := len(n.provider.Objects()); made != before {
		t.Errorf("%d objects were made by stopping", made-before)
	}
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
