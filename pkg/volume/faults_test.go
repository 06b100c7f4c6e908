package volume_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// changed is what a source tells of a Connector.
func changed(ref connector.Ref) connector.Change {
	return connector.Change{Kind: connector.ChangedConnector, Namespace: ref.Namespace, Name: ref.Name}
}

func closed(c *connector.Connector) { c.Access = []connector.Peer{} }

func TestAConnectorThatComesBackIsRenewedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		was := n.cluster.connectors[own]
		n.cluster.do(func() { delete(n.cluster.connectors, own) })
		n.SourceChanged(changed(own))
		pass(time.Minute)
		n.cluster.do(func() { n.cluster.connectors[own] = was })
		n.SourceChanged(changed(own))
		pass(time.Hour)
		if n.cluster.callCount() != 2 || n.shown("a", "reg.test") != "password-2" {
			t.Errorf("%d calls, shown %q", n.cluster.callCount(), n.shown("a", "reg.test"))
		}
	})
}

// Content that stays what it is costs no look at the volume; a restart has
// to look once.
func TestTheSameContentIsNotLookedAt(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		again := func(n *node, wantUpdates, wantWrites int) {
			t.Helper()
			n.cluster.declare(own, func(c *connector.Connector) { c.Generation++ })
			n.Changed("a")
			synctest.Wait()
			n.disk.do(func() {
				if n.disk.updates != wantUpdates || n.disk.writes != wantWrites {
					t.Errorf("%d updates and %d writes, want %d and %d", n.disk.updates, n.disk.writes, wantUpdates, wantWrites)
				}
			})
		}
		again(n, 0, 1)
		n.stop()
		next := n.again(t)
		again(next, 1, 1)
		again(next, 1, 1)
		n.disk.do(func() { n.disk.full = connector.ErrExhausted })
		pass(time.Hour) // a renewal that cannot be shown
		n.disk.do(func() { n.disk.full = nil })
		pass(time.Hour)
		if got := next.shown("a", "reg.test"); got == "password-1" {
			t.Errorf("what failed once was not tried again: %q", got)
		}
	})
}

// A volume that changes all the time loses its superseded files in time, too.
func TestWhatChangesAllTheTimeIsSwept(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		for i := range 60 {
			n.cluster.declare(own, func(c *connector.Connector) {
				c.Registries[0].Mirrors = []string{fmt.Sprint("https://mirror-", i, ".test")}
			})
			n.SourceChanged(changed(own))
			pass(4 * time.Second)
			n.disk.do(func() {
				for _, at := range n.disk.superseded {
					if age := time.Since(at); age > 10*time.Second {
						t.Errorf("change %d: files that were superseded %s ago are there", i, age)
					}
				}
			})
		}
		pass(10 * time.Second)
		n.disk.do(func() {
			if n.disk.writes != 61 || len(n.disk.superseded) != 0 {
				t.Errorf("%d writes; superseded and there: %v", n.disk.writes, n.disk.superseded)
			}
		})
	})
}

// Files that are in force are told as such, and those before them swept, also
// when their update ended with an error.
func TestAnUpdateThatFailsAfterTheSwitch(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.do(func() { n.disk.after = errors.New("a link cannot be removed") })
		n.cluster.declare(own, func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"moved.test"}`) })
		n.SourceChanged(changed(own))
		synctest.Wait()
		n.disk.do(func() { n.disk.after = nil })
		pass(time.Minute)
		if writes, _, sweeps := n.disk.counts(); writes != 2 || sweeps == 0 || n.shown("a", "moved.test") != "password-2" {
			t.Errorf("%d writes, %d sweeps, shown %q", writes, sweeps, n.shown("a", "moved.test"))
		}
		stats, err := n.Stats(t.Context(), "a", "")
		if err != nil || stats.Abnormal {
			t.Errorf("%+v, %v", stats, err)
		}
		var delivered []string
		for _, r := range n.cluster.audited {
			if r.Event == audit.Delivered {
				delivered = append(delivered, r.VolumeID+" of "+strings.Join(r.Registries, ","))
			}
		}
		if diff := cmp.Diff([]string{"a of reg.test", "a of moved.test"}, delivered); diff != "" {
			t.Errorf("audited (-want +got):\n%s", diff)
		}
	})
}

func TestAWithdrawnGrantStaysSoOverARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		publish(t, n, spec(t, "b", "reg")) // keeps the credential alive
		n.cluster.declare(own, closed)
		n.SourceChanged(changed(own))
		synctest.Wait()
		n.stop()
		n.cluster.broken[own] = connector.ErrPrecondition // nobody can tell what the owner says now

		next := n.again(t)
		pass(30 * time.Minute)
		if next.shown("a", "reg.test") != "" {
			t.Error("a restart gave a withdrawn grant back")
		}
	})
}

func TestAWithdrawnGrantNeedsNobodyElse(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		two := connector.Ref{Namespace: "ci", Name: "two"}
		n.cluster.declare(two)
		publish(t, n, spec(t, "a", "reg,two"))
		n.stop()
		lease := ""
		for key := range n.credentials.all { // one of the two credentials is lost
			lease = key
		}
		delete(n.credentials.all, lease)
		n.cluster.refusal = issuers.Retry(0, "Down", "the provider is down")

		next := n.again(t)
		n.cluster.declare(own, closed)
		n.cluster.declare(two, closed)
		next.SourceChanged(changed(own))
		next.SourceChanged(changed(two))
		pass(time.Second)
		if next.shown("a", "reg.test") != "" || next.shown("a", "two.test") != "" {
			t.Errorf("shown %q and %q", next.shown("a", "reg.test"), next.shown("a", "two.test"))
		}
	})
}

func TestARepublishWithoutRecordNeverFails(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		clear(n.volumes.all)
		clear(n.credentials.all)
		clear(n.cluster.connectors)

		next := n.again(t)
		publish(t, next, spec(t, "a", "reg")) // not even the Connector is there
		if next.shown("a", "reg.test") != "password-1" || next.volumes.count() != 1 {
			t.Errorf("shown %q, %d records", next.shown("a", "reg.test"), next.volumes.count())
		}
		pass(12 * time.Minute)
		if next.shown("a", "reg.test") != "" {
			t.Error("content that nobody knows stayed for ever")
		}
		next.stop()
		if err := next.again(t).Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingWaitsForASlowProvider(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		slow, good := connector.Ref{Namespace: "ci", Name: "slow"}, connector.Ref{Namespace: "ci", Name: "good"}
		n.cluster.declare(slow)
		n.cluster.declare(good)
		publish(t, n, spec(t, "good", "good"))
		for i := range 20 {
			s := spec(t, fmt.Sprint("slow-", i), "slow")
			s.Subject.ServiceAccount = fmt.Sprint("sa-", i)
			publish(t, n, s)
		}
		n.cluster.do(func() { n.cluster.delay = time.Hour })
		n.cluster.declare(slow, func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"slower.test"}`) })
		n.SourceChanged(changed(slow))
		synctest.Wait()

		began := time.Now()
		for i := range 10 {
			if err := n.Unpublish(t.Context(), fmt.Sprint("slow-", i), fmt.Sprint("/pods/slow-", i)); err != nil {
				t.Error(err)
			}
		}
		n.cluster.declare(good, closed)
		n.SourceChanged(changed(good))
		synctest.Wait()
		if took := time.Since(began); took != 0 || n.shown("good", "good.test") != "" {
			t.Errorf("after %v the other connector's entry is %q", took, n.shown("good", "good.test"))
		}
		if n.shown("slow-15", "slow.test") == "" {
			t.Error("the former generation's credential did not stay meanwhile")
		}
	})
}

func TestATightenedConnectorTakesItsCredentialBack(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.declare(own, func(c *connector.Connector) { c.MinimumScope = connector.GrainRepository })
		n.SourceChanged(changed(own))
		synctest.Wait()
		if n.shown("a", "reg.test") != "" {
			t.Error("what the owner no longer allows stayed")
		}
	})
}

func TestAVolumeWhoseMountIsLostForGoodEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.do(func() { clear(n.disk.mounts); clear(n.disk.ids) })
		pass(orphanSearches)
		if !n.Idle() || n.volumes.count() != 0 {
			t.Errorf("idle %v, %d records", n.Idle(), n.volumes.count())
		}
	})
}

func TestEventsOfALastingFaultAreFew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.do(func() { n.disk.full = connector.ErrExhausted })
		pass(3 * time.Hour)
		if got := len(n.cluster.events); got > 3 {
			t.Errorf("%d events: %v", got, n.cluster.events)
		}
	})
}

func TestTokensAreTakenAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.audiences = []string{"registry"}
		s := spec(t, "a", "reg")
		s.Tokens = map[string]issuers.Token{"registry": {JWT: connector.NewSecret("before")}}
		publish(t, n, s)
		n.stop()

		next := n.again(t)
		s.Tokens = map[string]issuers.Token{"registry": {JWT: connector.NewSecret("after")}}
		publish(t, next, s)
		pass(50 * time.Minute)
		if n.cluster.callCount() != 2 || len(n.cluster.tokens) != 1 || n.cluster.tokens[0] != "after" {
			t.Errorf("%d calls, the last with %v", n.cluster.callCount(), n.cluster.tokens)
		}
	})
}

func TestAWithdrawnGrantDoesNotComeBackWithWhatWasOnItsWay(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.delay = 20 * time.Second })
		n.cluster.declare(own, func(c *connector.Connector) {
			c.MaxAge, c.AllowLongLived, c.Issuer.Config = time.Minute, true, []byte(`{"host":"reg.test"} `)
		})
		n.SourceChanged(changed(own))
		pass(5 * time.Second)
		n.cluster.declare(own, closed)
		n.SourceChanged(changed(own))
		pass(5 * time.Second)
		n.cluster.do(func() { delete(n.cluster.connectors, own) }) // now nobody can tell
		n.SourceChanged(changed(own))
		pass(20 * time.Minute)
		if got := n.shown("a", "reg.test"); got != "" {
			t.Errorf("a withdrawn pod got %q", got)
		}
	})
}

func TestStopDoesNotWaitForASlowProvider(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.delay = time.Hour })
		n.cluster.declare(own, func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"slow.test"}`) })
		n.SourceChanged(changed(own))
		synctest.Wait()
		began := time.Now()
		n.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("the stop took %v", took)
		}
	})
}

func TestARetiredHoldIsNotReleasedTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.delay = 20 * time.Second })
		n.cluster.declare(own, func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"moved.test"}`) })
		n.SourceChanged(changed(own))
		pass(time.Second)
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		publish(t, n, spec(t, "a", "reg")) // the same id, while the former acquisition is on its way
		pass(50 * time.Minute)
		if calls := n.cluster.callCount(); n.shown("a", "moved.test") == "" || calls != 3 {
			t.Errorf("shown %q after %d calls", n.shown("a", "moved.test"), calls)
		}
	})
}

func TestEventsOfAGenerationThatCannotBeFollowedAreFew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.refusal = issuers.Terminate("Wrong", "wrong account") })
		n.cluster.declare(own, func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"moved.test"}`) })
		n.SourceChanged(changed(own))
		pass(25 * time.Minute)
		stats, err := n.Stats(t.Context(), "a", "")
		if got := len(n.cluster.events); got != 1 || err != nil || !stats.Abnormal {
			t.Errorf("%d events: %v; %+v, %v", got, n.cluster.events, stats, err)
		}
	})
}

// A generation that cannot be shown, because its CA is missing, is not put in
// force: neither does its Connector lose what it has, nor do others wait for it.
func TestAGenerationWithoutItsCAHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.declare(connector.Ref{Namespace: "ci", Name: "two"})
		publish(t, n, spec(t, "a", "reg,two"))
		n.cluster.declare(own, func(c *connector.Connector) {
			c.Registries[0].TLS.CAConfigMap = &connector.ObjectKey{Name: "ca", Key: "ca.crt"}
		})
		n.SourceChanged(changed(own))
		pass(time.Hour)
		first, second := n.shown("a", "reg.test"), n.shown("a", "two.test")
		if later := fmt.Sprint(n.cluster.callCount()); first == "password-1" || first == "password-2" || second == first ||
			second == "password-1" || second == "password-2" || later != "4" {
			t.Errorf("after an hour and %s calls: %q and %q, want both renewed once", later, first, second)
		}
		stats, err := n.Stats(t.Context(), "a", "")
		want := volume.Stats{
			Usage: stats.Usage, Abnormal: true,
			Message: `connector ci/reg: registry reg.test: ConfigMap "ca" for the CA does not exist in the Connector's namespace`,
		}
		if diff := cmp.Diff(want, stats); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}

		ca := aCertificate(t)
		n.cluster.do(func() {
			n.cluster.objects["ca"] = &connector.Object{Data: map[string]connector.Secret{"ca.crt": connector.NewSecret(ca)}}
		})
		n.SourceChanged(connector.Change{Kind: connector.ChangedConfigMap, Namespace: "ci", Name: "ca"})
		synctest.Wait()
		if shown := n.disk.file("/pods/a", "ca.crt"); shown != ca || n.shown("a", "reg.test") == first {
			t.Errorf("with its CA: %q, and shown is %q", n.shown("a", "reg.test"), shown)
		}
	})
}

func TestWhatChangesDuringAPublishIsSeen(t *testing.T) {
	tests := []struct {
		name   string
		change func(*connector.Connector)
		err    error
		shown  string
	}{
		{"consent withdrawn", closed, connector.ErrDenied, ""},
		{"new generation", func(c *connector.Connector) { c.Issuer.Config = []byte(`{"host":"moved.test"}`) }, nil, "password-2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *node) {
				n.cluster.do(func() { n.cluster.delay = 20 * time.Second })
				done := make(chan error, 1)
				go func() { done <- n.Publish(t.Context(), spec(t, "a", "reg")) }()
				pass(10 * time.Second)
				n.cluster.declare(own, test.change)
				n.SourceChanged(changed(own))
				if err := <-done; !errors.Is(err, test.err) {
					t.Errorf("the publish ended with %v", err)
				}
				pass(30 * time.Second)
				if got := n.shown("a", "moved.test"); got != test.shown || n.shown("a", "reg.test") != "" {
					t.Errorf("shown %q and %q", n.shown("a", "reg.test"), got)
				}
			})
		})
	}
}

func TestARecordThatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		clear(n.volumes.all)
		next := n.again(t)
		full := func(err error) {
			next.volumes.mu.Lock()
			defer next.volumes.mu.Unlock()
			next.volumes.full = err
		}
		full(connector.ErrExhausted)
		n.cluster.do(func() { n.cluster.refusal = issuers.Retry(0, "Down", "the provider is down") })
		publish(t, next, spec(t, "a", "reg")) // adopted
		pass(time.Minute)
		stats, err := next.Stats(t.Context(), "a", "")
		if got := len(n.cluster.events); got > 2 || err != nil || !stats.Abnormal {
			t.Errorf("%d events: %v; %+v, %v", got, n.cluster.events, stats, err)
		}
		full(nil)
		pass(6 * time.Minute)
		if next.volumes.count() != 1 {
			t.Error("the record was not written when there was room again")
		}
	})
}

func TestAPublishAfterAFailedUnpublishBeginsAnew(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.do(func() { n.disk.stuck = connector.ErrUnavailable })
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); !errors.Is(err, connector.ErrUnavailable) {
			t.Fatalf("the unpublish ended with %v", err)
		}
		if err := n.Publish(t.Context(), spec(t, "a", "absent")); !errors.Is(err, connector.ErrUnavailable) || n.volumes.count() != 1 {
			t.Errorf("a publish over what cannot be removed: %v, %d records", err, n.volumes.count())
		}
		n.disk.do(func() { n.disk.stuck = nil })
		if err := n.Publish(t.Context(), spec(t, "a", "absent")); !errors.Is(err, connector.ErrNotFound) || len(n.disk.mounts) != 0 || !n.Idle() {
			t.Errorf("%v; mounts %v, idle %v", err, n.disk.mounts, n.Idle())
		}
	})
}

func TestALostCredentialDoesNotKeepSupersededOnesBesideIt(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.declare(connector.Ref{Namespace: "ci", Name: "two"})
		publish(t, n, spec(t, "a", "reg,two"))
		before := n.shown("a", "reg.test")
		n.disk.do(func() { n.disk.full = connector.ErrExhausted }) // as if killed between renewal and files
		pass(50 * time.Minute)
		n.stop()
		for key, document := range n.credentials.all {
			if strings.Contains(string(document), "two.test") {
				delete(n.credentials.all, key)
			}
		}
		n.disk.full = nil
		n.cluster.refusal = issuers.Retry(0, "Down", "the provider is down")

		next := n.again(t)
		if got := next.shown("a", "reg.test"); got == before || got == "" {
			t.Errorf("shown %q, before the restart %q", got, before)
		}
	})
}
