package volume_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/render"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// inBubble runs a test in synthetic time with a running node.
func inBubble(t *testing.T, test func(t *testing.T, n *node)) {
	synctest.Test(t, func(t *testing.T) { test(t, start(t)) })
}

func publish(t *testing.T, n *node, s volume.Spec) {
	t.Helper()
	if err := n.Publish(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// pass lets time go by and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPublishAndUnpublishLeaveNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		if got := n.shown("a", "reg.test"); got != "password-1" {
			t.Errorf("config.json holds %q", got)
		}
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Errorf("unpublishing again: %v", err)
		}
		if len(n.disk.mounts) != 0 || n.volumes.count() != 0 || !n.Idle() {
			t.Errorf("left over: %d mounts, %d records, idle %v", len(n.disk.mounts), n.volumes.count(), n.Idle())
		}
		pass(2 * time.Minute)
		if n.credentials.count() != 0 {
			t.Error("the credential outlived its linger time")
		}
	})
}

func TestRepublishDoesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		writes, _, _ := n.disk.counts()
		n.cluster.do(func() { clear(n.cluster.connectors); n.cluster.refusal = issuers.Deny("No", "no") })
		for range 1000 { // whatever has become of the Connector: never an error
			publish(t, n, spec(t, "a", "reg"))
		}
		if again, _, _ := n.disk.counts(); again != writes || n.cluster.callCount() != 1 {
			t.Errorf("%d writes, %d calls of the provider", again-writes, n.cluster.callCount())
		}
	})
}

func TestALostMountIsPublishedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.do(func() { clear(n.disk.mounts); clear(n.disk.ids) })
		publish(t, n, spec(t, "a", "reg"))
		if got := n.shown("a", "reg.test"); got != "password-1" {
			t.Errorf("config.json holds %q", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	foreign := connector.Ref{Namespace: "other", Name: "reg"}
	shared := connector.Ref{Name: "shared"}
	closed := connector.Ref{Namespace: "ci", Name: "closed"}
	for _, tc := range []struct {
		name       string
		connectors string
		change     func(*cluster)
		class      error
		want       string
	}{
		{
			"own, missing", "nowhere", func(*cluster) {}, connector.ErrNotFound,
			"connector ci/nowhere does not exist in the pod's namespace: create it or correct the volume attribute connectors",
		},
		{
			"foreign, missing", "other/reg", func(*cluster) {}, connector.ErrDenied,
			"connector other/reg does not exist or its spec.access does not admit ServiceAccount ci/builder",
		},
		{
			"foreign, not admitted", "other/reg", func(c *cluster) { c.declare(foreign) }, connector.ErrDenied,
			"connector other/reg does not exist or its spec.access does not admit ServiceAccount ci/builder",
		},
		{
			"cluster, without access", "cluster:shared", func(c *cluster) { c.declare(shared) }, connector.ErrDenied,
			"connector cluster:shared does not exist or its spec.access does not admit ServiceAccount ci/builder",
		},
		{
			"own, closed to the ServiceAccount", "closed", func(c *cluster) {
				c.declare(closed, func(c *connector.Connector) { c.Access = []connector.Peer{{ServiceAccounts: []string{"deployer"}}} })
			}, connector.ErrDenied,
			"connector ci/closed: its spec.access does not admit ServiceAccount ci/builder",
		},
		{
			"foreign, not permitted", "other/reg", func(c *cluster) {
				c.declare(foreign, func(c *connector.Connector) { c.Access = []connector.Peer{{Namespaces: []string{"ci"}}} })
				c.verdict = connector.ErrDenied
			}, connector.ErrDenied,
			"connector other/reg: ServiceAccount ci/builder is not permitted to use it: grant it verb use on connectors.regcred.dev",
		},
		{
			"foreign, nobody can tell", "other/reg", func(c *cluster) {
				c.declare(foreign, func(c *connector.Connector) { c.Access = []connector.Peer{{Namespaces: []string{"ci"}}} })
				c.verdict = errors.New("the API server is away")
			}, connector.ErrUnavailable,
			"connector other/reg: asking whether ServiceAccount ci/builder may use it: the API server is away",
		},
		{
			"never valid", "reg", func(c *cluster) { c.broken[own] = fmt.Errorf("%w: spec.issuer: is missing", connector.ErrPrecondition) }, connector.ErrPrecondition,
			"connector ci/reg: failed precondition: spec.issuer: is missing",
		},
		{
			"provider refuses", "reg", func(c *cluster) { c.refusal = issuers.Deny("Refused", "the registry does not know the account") }, nil,
			"connector ci/reg: obtaining a credential for ServiceAccount ci/builder: the registry does not know the account",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *node) {
				n.cluster.do(func() {})
				tc.change(n.cluster)
				err := n.Publish(t.Context(), spec(t, "a", tc.connectors))
				if err == nil || err.Error() != tc.want || (tc.class != nil && !errors.Is(err, tc.class)) {
					t.Errorf("got %v\nwant %s", err, tc.want)
				}
				if len(n.disk.mounts) != 0 || n.volumes.count() != 0 || !n.Idle() {
					t.Error("a refused publish left something")
				}
			})
		})
	}
}

func TestAFailedPublishLeavesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.disk.full = fmt.Errorf("%w: no space is left", connector.ErrExhausted)
		if err := n.Publish(t.Context(), spec(t, "a", "reg")); !errors.Is(err, connector.ErrExhausted) {
			t.Fatalf("got %v", err)
		}
		if len(n.disk.mounts) != 0 || n.volumes.count() != 0 || !n.Idle() {
			t.Error("a failed publish left something")
		}
		pass(2 * time.Minute)
		if n.credentials.count() != 0 {
			t.Error("its credential was not given up")
		}
	})
}

func TestARetryJoinsTheRunningAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.delay = 30 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := n.Publish(ctx, spec(t, "a", "reg")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if other := spec(t, "a", "reg"); true {
			other.Place.Target = "/pods/elsewhere"
			if err := n.Publish(t.Context(), other); !errors.Is(err, connector.ErrConflict) {
				t.Errorf("another target while it is published: %v", err)
			}
		}
		publish(t, n, spec(t, "a", "reg"))
		if n.cluster.callCount() != 1 || n.shown("a", "reg.test") != "password-1" {
			t.Errorf("%d calls, shown %q", n.cluster.callCount(), n.shown("a", "reg.test"))
		}
	})
}

func TestUnpublishEndsARunningPublish(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.delay = 30 * time.Second
		published := make(chan error, 1)
		go func() { published <- n.Publish(t.Context(), spec(t, "a", "reg")) }()
		synctest.Wait()
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		if err := <-published; !errors.Is(err, context.Canceled) {
			t.Errorf("the publish answered %v", err)
		}
		pass(time.Minute)
		if len(n.disk.mounts) != 0 || n.volumes.count() != 0 || !n.Idle() {
			t.Error("something is left")
		}
	})
}

func TestSameIDWithOtherAttributesIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.declare(connector.Ref{Namespace: "ci", Name: "second"})
		publish(t, n, spec(t, "a", "reg"))
		if err := n.Publish(t.Context(), spec(t, "a", "second")); !errors.Is(err, connector.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
}

func TestRenewalReachesTheFilesAndOldOnesAreSwept(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		publish(t, n, spec(t, "b", "reg"))
		for n.cluster.callCount() < 2 {
			pass(time.Second)
		}
		if n.shown("a", "reg.test") != "password-2" || n.shown("b", "reg.test") != "password-2" {
			t.Errorf("shown %q and %q", n.shown("a", "reg.test"), n.shown("b", "reg.test"))
		}
		if _, _, sweeps := n.disk.counts(); sweeps != 0 {
			t.Error("superseded files were removed at once")
		}
		pass(11 * time.Second)
		if writes, purges, sweeps := n.disk.counts(); writes != 4 || purges != 0 || sweeps != 2 {
			t.Errorf("%d writes, %d purges, %d sweeps", writes, purges, sweeps)
		}
	})
}

func TestExpiryEmptiesTheEntriesOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.refusal = issuers.Retry(0, "Down", "the provider is down") })
		pass(59 * time.Minute)
		if n.shown("a", "reg.test") != "password-1" {
			t.Error("the last good content did not stay")
		}
		if stats, err := n.Stats(t.Context(), "a", "/pods/a"); err != nil || !stats.Abnormal ||
			stats.Message != "renewing the credential of connector ci/reg: the provider is down" {
			t.Errorf("got %+v, %v", stats, err)
		}
		pass(time.Minute)
		if n.shown("a", "reg.test") != "" || n.disk.file("/pods/a", "regcred.json") == "" {
			t.Error("after expiry the entries are not emptied, or the report went too")
		}
		if _, purges, _ := n.disk.counts(); purges != 1 {
			t.Errorf("%d purges", purges)
		}
		n.cluster.do(func() { n.cluster.refusal = nil })
		pass(3 * time.Minute)
		if stats, err := n.Stats(t.Context(), "a", ""); n.shown("a", "reg.test") == "" || err != nil || stats.Abnormal {
			t.Errorf("after the provider came back: shown %q, %+v, %v", n.shown("a", "reg.test"), stats, err)
		}
	})
}

func TestWithdrawnConsentEmptiesOneVolumeAndComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		ref := connector.Ref{Namespace: "ci", Name: "two"}
		changed := connector.Change{Kind: connector.ChangedConnector, Namespace: ref.Namespace, Name: ref.Name}
		n.cluster.declare(ref)
		publish(t, n, spec(t, "a", "reg,two"))
		n.cluster.declare(ref, func(c *connector.Connector) { c.Access = []connector.Peer{} })
		n.SourceChanged(changed)
		synctest.Wait()
		if n.shown("a", "two.test") != "" || n.shown("a", "reg.test") == "" {
			t.Errorf("shown %q and %q", n.shown("a", "two.test"), n.shown("a", "reg.test"))
		}
		n.cluster.declare(ref)
		n.SourceChanged(changed)
		synctest.Wait()
		if n.shown("a", "two.test") == "" {
			t.Error("consent came back, the entry did not")
		}
	})
}

func TestWithdrawnConsentEmptiesAlsoWithoutTheCA(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		private := func(c *connector.Connector) {
			c.Registries[0].TLS.CAConfigMap = &connector.ObjectKey{Name: "ca", Key: "ca.crt"}
		}
		n.cluster.objects["ca"] = &connector.Object{Data: map[string]connector.Secret{"ca.crt": connector.NewSecret(aCertificate(t))}}
		n.cluster.declare(own, private)
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { delete(n.cluster.objects, "ca") })
		n.SourceChanged(connector.Change{Kind: connector.ChangedConfigMap, Namespace: "ci", Name: "ca"})
		synctest.Wait()
		if n.shown("a", "reg.test") != "password-1" {
			t.Error("a CA that is away took the credential with it")
		}
		for n.cluster.callCount() < 2 {
			pass(time.Second)
		}
		if n.shown("a", "reg.test") != "password-2" {
			t.Error("a CA that is away kept a renewal out")
		}
		n.cluster.declare(own, private, func(c *connector.Connector) { c.Access = []connector.Peer{} })
		n.SourceChanged(connector.Change{Kind: connector.ChangedConnector, Namespace: "ci", Name: "reg"})
		synctest.Wait()
		if n.shown("a", "reg.test") != "" || n.disk.file("/pods/a", "ca.crt") == "" {
			t.Errorf("shown %q; the CA as known last: %q", n.shown("a", "reg.test"), n.disk.file("/pods/a", "ca.crt"))
		}
	})
}

// aCertificate makes a certificate in PEM.
func aCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestOnlyTokensThatAnIssuerAsksForAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.audiences = []string{"registry"}
		s := spec(t, "a", "reg")
		s.Tokens = map[string]issuers.Token{
			"registry": {JWT: connector.NewSecret("for the registry")}, "never.asked": {JWT: connector.NewSecret("for nobody")},
		}
		publish(t, n, s)
		publish(t, n, s) // a republish delivers them again
		pass(50 * time.Minute)
		if diff := cmp.Diff([]string{"for the registry"}, n.cluster.tokens); diff != "" || n.cluster.callCount() != 2 {
			t.Errorf("%d calls, the last with %v", n.cluster.callCount(), n.cluster.tokens)
		}
	})
}

func TestFindingsOfAnIssuerAreToldOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		n.cluster.warnings = []string{"a helper was left out"}
		publish(t, n, spec(t, "a", "reg"))
		pass(3 * time.Hour) // several renewals
		if diff := cmp.Diff([]string{"CredentialWarning"}, n.cluster.events); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPermissionEndsAtTheSecondDenial(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		ref := connector.Ref{Namespace: "other", Name: "reg"}
		n.cluster.declare(ref, func(c *connector.Connector) { c.Access = []connector.Peer{{Namespaces: []string{"ci"}}} })
		publish(t, n, spec(t, "a", "other/reg"))
		n.cluster.do(func() { n.cluster.verdict = errors.New("away") })
		pass(25 * time.Minute) // an error is never a denial
		if n.shown("a", "reg.test") == "" {
			t.Fatal("an authorizer's error ended the grant")
		}
		n.cluster.do(func() { n.cluster.verdict = connector.ErrDenied })
		n.SourceChanged(connector.Change{Kind: connector.ChangedNamespace, Name: "ci"})
		pass(29 * time.Second)
		if n.shown("a", "reg.test") == "" {
			t.Fatal("one denial ended the grant")
		}
		pass(2 * time.Second)
		if n.shown("a", "reg.test") != "" {
			t.Error("two denials did not end the grant")
		}
	})
}

func TestAnInvalidGenerationLeavesTheLastValidOneInForce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { n.cluster.broken[own] = connector.ErrPrecondition })
		n.SourceChanged(connector.Change{Kind: connector.ChangedConnector, Namespace: "ci", Name: "reg"})
		pass(50 * time.Minute)
		if n.shown("a", "reg.test") != "password-2" {
			t.Errorf("shown %q, want the renewed one", n.shown("a", "reg.test"))
		}
	})
}

func TestANewGenerationIsTakenOver(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.declare(own, func(c *connector.Connector) {
			c.Registries[0].Host = "moved.test"
			c.Issuer.Config = []byte(`{"host":"moved.test"}`)
		})
		n.SourceChanged(connector.Change{Kind: connector.ChangedConnector, Namespace: "ci", Name: "reg"})
		synctest.Wait()
		if n.shown("a", "moved.test") != "password-2" || n.shown("a", "reg.test") != "" {
			t.Errorf("shown %q for the new host, %q for the old one", n.shown("a", "moved.test"), n.shown("a", "reg.test"))
		}
	})
}

func TestADeletedConnectorStopsRenewalOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.cluster.do(func() { clear(n.cluster.connectors) })
		n.SourceChanged(connector.Change{Kind: connector.ChangedConnector, Namespace: "ci", Name: "reg"})
		pass(59 * time.Minute)
		if n.shown("a", "reg.test") != "password-1" || n.cluster.callCount() != 1 {
			t.Errorf("shown %q after %d calls", n.shown("a", "reg.test"), n.cluster.callCount())
		}
		pass(2 * time.Minute)
		if n.shown("a", "reg.test") != "" {
			t.Error("expired content stayed")
		}
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Error(err)
		}
	})
}

func TestRestartAdoptsInPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		publish(t, n, spec(t, "gone", "reg"))
		n.stop()
		n.disk.do(func() { delete(n.disk.mounts, "/pods/gone"); delete(n.disk.ids, "/pods/gone") })
		writes, _, _ := n.disk.counts()

		next := n.again(t)
		if again, _, _ := n.disk.counts(); again != writes || n.cluster.callCount() != 1 || n.volumes.count() != 1 {
			t.Errorf("the restart wrote %d times, called %d times, kept %d records", again-writes, n.cluster.callCount()-1, n.volumes.count())
		}
		publish(t, next, spec(t, "a", "reg"))
		pass(46 * time.Minute)
		if next.shown("a", "reg.test") != "password-2" {
			t.Errorf("after the restart no renewal: %q", next.shown("a", "reg.test"))
		}
		if err := next.Unpublish(t.Context(), "a", "/pods/a"); err != nil || !next.Idle() {
			t.Errorf("unpublish: %v, idle %v", err, next.Idle())
		}
	})
}

// Who reads a superseded file when the driver is killed still reads it when the
// successor starts, a moment later.
func TestARestartCutsNoReader(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		n.again(t)
		pass(9 * time.Second)
		if _, _, sweeps := n.disk.counts(); sweeps != 0 {
			t.Error("superseded files were removed at once")
		}
		pass(2 * time.Second)
		if _, _, sweeps := n.disk.counts(); sweeps != 1 {
			t.Errorf("%d sweeps", sweeps)
		}
	})
}

func TestAMountWithoutRecordIsBroughtUpToDate(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		clear(n.volumes.all)
		clear(n.credentials.all)

		next := n.again(t)
		publish(t, next, spec(t, "a", "reg")) // answers at once
		synctest.Wait()
		if next.shown("a", "reg.test") != "password-2" || next.volumes.count() != 1 {
			t.Errorf("shown %q, %d records", next.shown("a", "reg.test"), next.volumes.count())
		}
	})
}

func TestALostCredentialLeavesTheFilesForItsGraceTime(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.stop()
		clear(n.credentials.all)
		n.cluster.refusal = issuers.Retry(0, "Down", "the provider is down")

		next := n.again(t)
		pass(9 * time.Minute)
		if next.shown("a", "reg.test") != "password-1" {
			t.Error("a restart without its credentials emptied a running pod's files at once")
		}
		pass(2 * time.Minute)
		if next.shown("a", "reg.test") != "" {
			t.Error("files of a lost credential stayed")
		}
		n.cluster.do(func() { n.cluster.refusal = nil })
		pass(6 * time.Minute)
		if next.shown("a", "reg.test") == "" {
			t.Error("the provider came back, the entry did not")
		}
	})
}

func TestOrphansAreRemovedWhenSeenTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		publish(t, n, spec(t, "b", "reg"))
		n.disk.do(func() { n.disk.podGone["/pods/a"] = true })
		n.disk.do(func() { // left by a driver whose records are lost
			n.disk.ids["/pods/c"], n.disk.mounts["/pods/c"] = "unknown", render.Files{}
			n.disk.podGone["/pods/c"] = true
		})
		pass(orphanSearches)
		if n.shown("a", "reg.test") != "" || n.shown("b", "reg.test") == "" || n.disk.ids["/pods/c"] != "" {
			t.Errorf("shown %q of the orphan, %q of the other; unknown one: %q", n.shown("a", "reg.test"), n.shown("b", "reg.test"), n.disk.ids["/pods/c"])
		}
	})
}

// orphanSearches is long enough for two searches that lie a minute apart.
const orphanSearches = 12 * time.Minute

func TestAStuckUnpublishIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		n.disk.stuck = errors.New("device is stuck")
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err == nil || err.Error() != "removing the volume: device is stuck" {
			t.Fatalf("got %v", err)
		}
		n.disk.stuck = nil
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil || !n.Idle() {
			t.Errorf("again: %v, idle %v", err, n.Idle())
		}
	})
}

// A publish that has to wait for a slow unpublish of its volume ends with its
// call, and goes on without it.
func TestPublishWaitsInItsCallerForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		if err := n.Publish(t.Context(), spec(t, "a", "reg")); err != nil {
			t.Fatal(err)
		}
		removing := make(chan struct{})
		n.disk.do(func() { n.disk.removeC = removing })
		unpublished := make(chan error, 1)
		go func() { unpublished <- n.Unpublish(t.Context(), "a", spec(t, "a", "reg").Place.Target) }()
		<-removing

		over, end := context.WithCancel(t.Context())
		end()
		if err := n.Publish(over, spec(t, "a", "reg")); !errors.Is(err, context.Canceled) {
			t.Errorf("a call that is over: %v", err)
		}
		n.disk.do(func() { n.disk.removeC = nil })
		close(removing)
		if err := <-unpublished; err != nil {
			t.Error(err)
		}
		if err := n.Publish(t.Context(), spec(t, "a", "reg")); err != nil {
			t.Errorf("the attempt that went on: %v", err)
		}
	})
}
