package volume_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// private gives the Connector a CA that trust replaces.
func private(c *connector.Connector) {
	c.Registries[0].TLS.CAConfigMap = &connector.ObjectKey{Name: "ca", Key: "ca.crt"}
}

// trust puts another CA into the ConfigMap, without a new credential.
func (n *node) trust(ca string) {
	n.cluster.do(func() {
		n.cluster.objects["ca"] = &connector.Object{Data: map[string]connector.Secret{"ca.crt": connector.NewSecret(ca)}}
	})
	n.SourceChanged(connector.Change{Kind: connector.ChangedConfigMap, Namespace: "ci", Name: "ca"})
	synctest.Wait()
}

func (n *node) wantCA(t *testing.T, when, ca string) {
	t.Helper()
	if got := n.disk.file("/pods/a", "ca.crt"); got != ca {
		t.Errorf("%s: the volume shows another CA", when)
	}
}

// What an update left that failed is not taken for known, whether it failed
// before or after the new files were in force.
func TestContentThatChangesBackBesideAFailedUpdate(t *testing.T) {
	for name, fail := range map[string]func(d *disk, with error){
		"before the switch": func(d *disk, with error) { d.full = with },
		"after the switch":  func(d *disk, with error) { d.after = with },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *node) {
				one, two := aCertificate(t), aCertificate(t)
				n.cluster.declare(own, private)
				n.trust(one)
				publish(t, n, spec(t, "a", "reg"))
				n.wantCA(t, "published", one)
				n.disk.do(func() { fail(n.disk, fmt.Errorf("%w: no space is left", connector.ErrExhausted)) })
				n.trust(two)
				n.disk.do(func() { fail(n.disk, nil) })
				n.trust(one)
				n.wantCA(t, "changed back", one)
				n.trust(two)
				n.wantCA(t, "changed again", two)
				pass(10 * time.Minute) // and each retry
				n.wantCA(t, "later", two)
			})
		})
	}
}

// A mount that is lost and published again shows what is right by then, and
// follows from there.
func TestContentThatChangesWhileTheMountIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		one, two := aCertificate(t), aCertificate(t)
		n.cluster.declare(own, private)
		n.trust(one)
		publish(t, n, spec(t, "a", "reg"))
		for range 2 {
			n.disk.do(func() { clear(n.disk.ids); clear(n.disk.mounts) })
			n.trust(two)
			n.trust(one)
			publish(t, n, spec(t, "a", "reg"))
			n.wantCA(t, "published again", one)
			n.trust(two)
			n.wantCA(t, "changed", two)
			n.trust(one)
			n.wantCA(t, "changed back", one)
		}
	})
}

// A restart knows nothing of what is shown, and finds it out once: also what
// the last process could not finish.
func TestContentThatChangedWhileNobodyRan(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		one, two := aCertificate(t), aCertificate(t)
		n.cluster.declare(own, private)
		n.trust(one)
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		n.trust(two) // nobody hears it
		n = n.again(t)
		n.wantCA(t, "after a restart", two)
		n.disk.do(func() { n.disk.full = errors.New("no space is left") })
		n.trust(one)
		n.stop()
		n.disk.do(func() { n.disk.full = nil })
		n = n.again(t)
		n.wantCA(t, "after another", one)
	})
}

// Entries that are emptied, come back and are emptied again are cut each
// time.
func TestEmptiedTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		two := connector.Ref{Namespace: "ci", Name: "two"}
		n.cluster.declare(two)
		publish(t, n, spec(t, "a", "reg,two"))
		set := func(ref connector.Ref, change ...func(*connector.Connector)) {
			n.cluster.declare(ref, change...)
			n.SourceChanged(changed(ref))
			synctest.Wait()
		}
		want := func(when string, purges int, first, second bool) {
			t.Helper()
			_, got, _ := n.disk.counts()
			if got != purges || (n.shown("a", "reg.test") != "") != first || (n.shown("a", "two.test") != "") != second {
				t.Errorf("%s: %d purges, shown %q and %q", when, got, n.shown("a", "reg.test"), n.shown("a", "two.test"))
			}
		}
		for i := range 2 {
			set(own, closed)
			want("one is emptied", 3*i+1, false, true)
			set(own, closed)
			want("nothing else", 3*i+1, false, true)
			set(two, closed)
			want("both are", 3*i+2, false, false)
			set(two)
			want("one is back", 3*i+3, false, true) // with the other emptied, whatever was shown is cut
			set(own)
			want("both are back", 3*i+3, true, true)
		}
		n.disk.do(func() { n.disk.full = connector.ErrExhausted })
		set(own, closed)
		n.disk.do(func() { n.disk.full = nil })
		set(own)
		want("emptied in vain, and back", 6, true, true)
		set(own, closed)
		want("emptied at last", 7, false, true)
	})
}

// Another choice of files is another volume: refused while there is one, and
// shown as asked for afterwards.
func TestExclusionsThatChange(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		asked := func(names string) volume.Spec {
			s := spec(t, "a", "reg")
			attributes, err := volume.ParseAttributes(map[string]string{"connectors": "reg", "configuration.names": names}, "ci")
			if err != nil {
				t.Fatal(err)
			}
			s.Attributes = attributes
			return s
		}
		shows := func(file string, want bool) {
			t.Helper()
			if got := n.disk.file("/pods/a", file) != ""; got != want {
				t.Errorf("%s is shown: %v, want %v", file, got, want)
			}
		}
		publish(t, n, asked("docker-config,buildkitd,!buildkitd.toml"))
		shows("buildkitd.toml", false)
		if err := n.Publish(t.Context(), asked("docker-config,buildkitd")); !errors.Is(err, connector.ErrConflict) {
			t.Errorf("with other attributes: %v", err)
		}
		shows("buildkitd.toml", false)
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		publish(t, n, asked("docker-config,buildkitd"))
		shows("buildkitd.toml", true)
		shows("config.json", true)
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		publish(t, n, asked("docker-config,buildkitd,!config.json"))
		shows("buildkitd.toml", true)
		shows("config.json", false)
	})
}
