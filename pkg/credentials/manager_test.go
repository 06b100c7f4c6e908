package credentials_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

func TestOneCallServesAStormOfOneIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.delay = time.Second })
		var storm sync.WaitGroup
		for i := range 500 {
			storm.Go(func() {
				req := ask("minting", fmt.Sprint("pod-", i))
				req.Identity = pod{connector.Subject{Namespace: "ci", ServiceAccount: fmt.Sprint("sa-", i%20)}}
				if _, err := n.Acquire(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
		}
		storm.Wait()
		if got := n.provider.callCount(); got != 20 {
			t.Errorf("%d calls for 20 identities", got)
		}
	})
}

func TestACallOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.delay = 10 * time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Acquire(ctx, ask("minting", "a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the caller's deadline", err)
		}
		began := time.Now()
		acquire(t, n, ask("minting", "a"))
		if waited := time.Since(began); waited != 9*time.Second || n.provider.callCount() != 1 {
			t.Errorf("the retry waited %v and made %d calls, want to join the first for 9s", waited, n.provider.callCount())
		}
	})
}

func TestRenewalComesBetweenHalfAndThreeQuartersOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		const credentialsCount, buckets = 2000, 36
		for i := range credentialsCount {
			req := ask("minting", fmt.Sprint("pod-", i))
			req.Identity = pod{connector.Subject{Namespace: "ci", ServiceAccount: fmt.Sprint("sa-", i)}}
			acquire(t, n, req)
		}
		began := time.Now()
		time.Sleep(46 * time.Minute)
		synctest.Wait()
		counts := make([]int, buckets)
		n.provider.set(func(p *provider) {
			for _, at := range p.asked[credentialsCount:] {
				after := at.Sub(began)
				if after < 30*time.Minute || after > 45*time.Minute {
					t.Fatalf("a renewal came %v after issue", after)
				}
				counts[int(after-30*time.Minute)*buckets/int(15*time.Minute+1)]++
			}
		})
		if total := n.provider.callCount(); total != 2*credentialsCount {
			t.Errorf("%d calls, want each credential renewed once", total)
		}
		if most := slices.Max(counts); most > 3*credentialsCount/buckets {
			t.Errorf("%d renewals in one bucket, mean %d", most, credentialsCount/buckets)
		}
	})
}

func TestRenewalReachesTheHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		a, b := acquire(t, n, ask("minting", "a")), acquire(t, n, ask("minting", "b"))
		if password(a) != "password-1" || password(b) != "password-1" {
			t.Fatalf("got %q and %q", password(a), password(b))
		}
		time.Sleep(46 * time.Minute)
		synctest.Wait()
		if password(a) != "password-2" || password(b) != "password-2" {
			t.Errorf("after renewal %q and %q", password(a), password(b))
		}
		if changed, _ := n.heard.counts("a"); changed != 1 {
			t.Errorf("holder a heard %d changes", changed)
		}
		if diff := cmp.Diff([]audit.Event{audit.Issued, audit.Renewed}, n.audited.events()); diff != "" {
			t.Error(diff)
		}
	})
}

// The first holder comes after the flight that it waited for: the renewal must
// not sleep until the next thing that was due before.
func TestAShortLifeIsRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 12 * time.Second })
		lease := acquire(t, n, ask("minting", "a"))
		synctest.Wait()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if password(lease) != "password-2" {
			t.Errorf("after three quarters of its life the credential is %q", password(lease))
		}
		if changed, _ := n.heard.counts("a"); changed != 1 {
			t.Errorf("the holder heard %d changes, want the renewal alone", changed)
		}
	})
}

func TestFailedRenewalKeepsTheLastGoodOneUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		lease := acquire(t, n, ask("minting", "a"))
		n.provider.set(func(p *provider) { p.err = issuers.Retry(0, "Down", "the provider is down") })
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if password(lease) != "password-1" {
			t.Errorf("got %q before it expired", password(lease))
		}
		if _, failed := n.heard.counts("a"); failed == 0 {
			t.Error("the holder did not hear of the failure")
		}
		other := ask("minting", "b") // the default wish gives way to the last good one
		if l := acquire(t, n, other); password(l) != "password-1" {
			t.Errorf("a new holder got %q", password(l))
		}
		other.MinimumLife = 30 * time.Minute // an explicit one does not
		if _, err := n.Acquire(t.Context(), other); err == nil || err.Error() != "the provider is down" {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if state := lease.State(); state.Credential != nil || state.Emptied == "" {
			t.Errorf("after expiry: %v, emptied %q", state.Credential, state.Emptied)
		}
		n.provider.set(func(p *provider) { p.err = nil })
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if lease.State().Credential == nil {
			t.Error("a provider that came back did not fill the lease again")
		}
	})
}

func TestRenewalLagTellsHowLateRenewalsAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		acquire(t, n, ask("minting", "a"))
		acquire(t, n, ask("stored", "b"))
		n.objects.put("pull", "two")
		n.Changed(secretChanged())
		time.Sleep(3 * time.Hour) // renewals, and one change that was due at once
		synctest.Wait()
		var lag dto.Metric
		if err := n.metrics.RenewalLag.Write(&lag); err != nil {
			t.Fatal(err)
		}
		if h := lag.GetHistogram(); h.GetSampleCount() < 4 || h.GetSampleSum() > 1 {
			t.Errorf("%d renewals were %v s late together", h.GetSampleCount(), h.GetSampleSum())
		}
	})
}

func TestFailuresAreRememberedForTheirBackOff(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		quiet time.Duration // no call within
		asks  time.Duration // a call by
	}{
		{"retryable", issuers.Retry(0, "Down", "down"), 900 * time.Millisecond, 2 * time.Second},
		{"stated wait", issuers.Retry(30*time.Second, "Throttled", "slow down"), 29 * time.Second, 31 * time.Second},
		{"terminal", issuers.Terminate("Wrong", "wrong"), 4 * time.Minute, 7 * time.Minute},
		{"denied", issuers.Deny("Denied", "denied"), 4 * time.Minute, 7 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t).run(t)
				n.provider.set(func(p *provider) { p.err = tc.err })
				for range 3 {
					if _, err := n.Acquire(t.Context(), ask("minting", "a")); !errors.Is(err, tc.err) {
						t.Fatalf("got %v", err)
					}
				}
				time.Sleep(tc.quiet)
				_, _ = n.Acquire(t.Context(), ask("minting", "a"))
				if got := n.provider.callCount(); got != 1 {
					t.Fatalf("%d calls inside the back-off", got)
				}
				n.provider.set(func(p *provider) { p.err = nil })
				time.Sleep(tc.asks - tc.quiet)
				acquire(t, n, ask("minting", "a"))
			})
		})
	}
}

func TestStaticContentFollowsItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		if _, err := n.Acquire(t.Context(), ask("stored", "a")); !errors.Is(err, connector.ErrNotFound) {
			t.Fatalf("without its Secret: %v", err)
		}
		n.objects.put("pull", "one")
		n.Changed(secretChanged()) // ends the back-off
		synctest.Wait()
		lease := acquire(t, n, ask("stored", "a"))
		n.objects.put("pull", "two")
		n.Changed(secretChanged())
		synctest.Wait()
		if password(lease) != "two" {
			t.Errorf("after the change: %q", password(lease))
		}
		n.objects.remove("pull")
		n.Changed(secretChanged())
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		if password(lease) != "two" {
			t.Errorf("in its grace time: %q", password(lease))
		}
		if _, err := n.Acquire(t.Context(), ask("stored", "b")); !errors.Is(err, connector.ErrNotFound) {
			t.Errorf("a new holder got %v, want no stale content", err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if state := lease.State(); state.Credential != nil || state.Emptied != "its source is gone" {
			t.Errorf("after its grace time: %v, emptied %q", state.Credential, state.Emptied)
		}
		n.objects.put("pull", "three")
		n.Changed(secretChanged())
		synctest.Wait()
		if password(lease) != "three" {
			t.Errorf("after its return: %q", password(lease))
		}
	})
}

func TestSupersededIsRevokedAfterOverlapAndTheLastAfterLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 4 * time.Hour })
		req := ask("making", "a")
		req.Connector.Overlap = 30 * time.Minute
		lease := acquire(t, n, req)
		first := n.provider.objects()
		for n.provider.callCount() < 2 {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 2 {
			t.Fatalf("objects after the renewal: %v", got)
		}
		time.Sleep(29 * time.Minute)
		if got := n.provider.objects(); len(got) != 2 {
			t.Fatalf("objects within the overlap: %v", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 1 || slices.Equal(got, first) {
			t.Fatalf("objects after the overlap: %v, first was %v", got, first)
		}
		lease.Release()
		time.Sleep(linger - time.Second)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 1 {
			t.Fatalf("objects while it lingers: %v", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 || len(n.intents.keys()) != 0 || len(n.leased.keys()) != 0 {
			t.Errorf("left over: objects %v, intents %v, credentials %v", got, n.intents.keys(), n.leased.keys())
		}
	})
}

func TestSerialHoldersShareALingeringCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		for i := range 10 {
			acquire(t, n, ask("making", fmt.Sprint("job-", i))).Release()
			time.Sleep(time.Minute)
		}
		if got := n.provider.callCount(); got != 1 {
			t.Errorf("%d calls for serial jobs", got)
		}
	})
}

func TestWithdrawReplacesForTheOthersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		a, b := acquire(t, n, ask("making", "a")), acquire(t, n, ask("making", "b"))
		first := n.provider.objects()
		a.Withdraw()
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 1 || slices.Equal(got, first) {
			t.Errorf("objects after the withdrawal: %v, first was %v", got, first)
		}
		if password(b) != "password-2" {
			t.Errorf("the other holder has %q", password(b))
		}
		b.Withdraw()
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 {
			t.Errorf("objects after the last withdrawal: %v", got)
		}
	})
}

func TestRevocationIsTriedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 1000 * time.Hour })
		lease := acquire(t, n, ask("making", "a"))
		n.provider.set(func(p *provider) { p.down = true })
		lease.Withdraw()
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if !slices.Contains(n.audited.events(), audit.NotRevocable) || len(n.intents.keys()) != 1 {
			t.Errorf("after a day: events %v, intents %v", n.audited.events(), n.intents.keys())
		}
		n.provider.set(func(p *provider) { p.down = false })
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 || len(n.intents.keys()) != 0 {
			t.Errorf("objects %v, intents %v", got, n.intents.keys())
		}
	})
}

func TestACutOffCallIsRevokedByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.cut = true })
		if _, err := n.Acquire(t.Context(), ask("making", "a")); err == nil || err.Error() != "the connection broke" {
			t.Fatalf("got %v", err)
		}
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 {
			t.Errorf("objects %v", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := n.intents.keys(); len(got) != 0 {
			t.Errorf("intents %v", got)
		}
	})
}

// A request that was on its way when the driver was killed reaches the provider
// after the revocation that the next driver began with.
func TestACutOffCallThatArrivesLateIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.delay = time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Acquire(ctx, ask("making", "a")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		n.stop()
		next := n.again(t).run(t)
		n.provider.set(func(p *provider) {
			if len(p.revoked) == 0 {
				t.Error("nothing is revoked at once")
			}
			for _, name := range p.revoked {
				p.live[name] = true // only now the request is read
			}
		})
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 || len(n.intents.keys()) != 0 || !next.Idle() {
			t.Errorf("objects %v, intents %v", got, n.intents.keys())
		}
	})
}

func TestACredentialThatCannotBeKeptIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.leased.full = true
		if _, err := n.Acquire(t.Context(), ask("making", "a")); !errors.Is(err, connector.ErrExhausted) {
			t.Fatalf("got %v", err)
		}
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 {
			t.Errorf("objects %v", got)
		}
	})
}

func TestRestartIssuesNothingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		lease := acquire(t, n, ask("making", "a"))
		n.stop()

		next := n.again(t)
		restored, ok := next.Restore(lease.Key(), "a", pod{})
		next.run(t)
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		if !ok || password(restored) != "password-1" || n.provider.callCount() != 1 || len(n.provider.objects()) != 1 {
			t.Errorf("restored %v, %q, %d calls, objects %v", ok, password(restored), n.provider.callCount(), n.provider.objects())
		}
		restored.Release()
		time.Sleep(linger + time.Second)
		synctest.Wait()
		if got := n.provider.objects(); len(got) != 0 {
			t.Errorf("objects after the end: %v", got)
		}
	})
}

// What an entry says of its own end is in the volume's report: a restart must
// not rewrite it.
func TestRestartKeepsTheContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		lease := acquire(t, n, ask("stored", "a"))
		before := lease.State().Credential
		n.stop()

		restored, ok := n.again(t).Restore(lease.Key(), "a", pod{})
		if !ok || !restored.State().Credential.SameContent(before) {
			t.Errorf("restored %v, and the content differs", ok)
		}
	})
}

func TestRestartRevokesWhatWasCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		acquire(t, n, ask("making", "a"))
		n.stop()
		for _, key := range n.leased.keys() { // killed before the credential was kept
			if err := n.leased.Delete(key); err != nil {
				t.Fatal(err)
			}
		}
		n.again(t).run(t)
		if got := n.provider.objects(); len(got) != 0 || len(n.intents.keys()) != 0 {
			t.Errorf("objects %v, intents %v", got, n.intents.keys())
		}
	})
}

func TestARestartDoesNotUseWhatWasRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		acquire(t, n, ask("making", "a")).Release()
		left := maps.Clone(n.leased.all) // the deletion of the record will have failed
		time.Sleep(linger + time.Second)
		synctest.Wait()
		n.stop()
		n.leased.all = left

		next := n.again(t).run(t)
		if got := password(acquire(t, next, ask("making", "b"))); got != "password-2" {
			t.Errorf("the new holder got %q, and revoked is %v", got, n.provider.revoked)
		}
	})
}

// The record of an object is lost or torn: the credential's own record knows
// what is to be revoked one day.
func TestALostIntentIsMadeGood(t *testing.T) {
	for name, c := range map[string]struct {
		torn     bool
		password string // in force afterwards
	}{
		"lost": {false, "password-2"}, // it may have been revoked
		"torn": {true, "password-1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t).run(t)
				lease := acquire(t, n, ask("making", "a"))
				n.stop()
				clear(n.intents.all)
				n.intents.torn = c.torn

				next, err := n.againWith(t)
				if (err != nil) != c.torn {
					t.Errorf("loading: %v", err)
				}
				n.intents.torn = false
				restored, ok := next.Restore(lease.Key(), "a", pod{})
				if got := password(restored); got != "password-1" {
					t.Errorf("until then a running pod has %q", got)
				}
				next.run(t)
				if !ok || password(restored) != c.password || len(n.provider.objects()) != 1 || len(n.intents.keys()) != 1 {
					t.Errorf("restored %v, %q; objects %v, intents %v", ok, password(restored), n.provider.objects(), n.intents.keys())
				}
				restored.Release()
				time.Sleep(linger + time.Second)
				synctest.Wait()
				if got := n.provider.objects(); len(got) != 0 || len(n.intents.keys()) != 0 {
					t.Errorf("after the end: objects %v, intents %v", got, n.intents.keys())
				}
			})
		})
	}
}

// A superseded credential that clients may still use is revoked after its
// overlap also when the record of its object is lost.
func TestALostIntentOfASupersededCredentialIsMadeGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		lease := acquire(t, n, ask("making", "a"))
		first := n.provider.objects()[0]
		for n.provider.callCount() < 2 {
			time.Sleep(time.Second)
		}
		synctest.Wait()
		n.stop()
		clear(n.intents.all)
		n.intents.torn = true
		next, _ := n.againWith(t)
		n.intents.torn = false
		next.Restore(lease.Key(), "a", pod{})
		next.run(t)
		if got := n.provider.objects(); len(got) != 2 {
			t.Errorf("right after the start: objects %v", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := n.provider.objects(); slices.Contains(got, first) {
			t.Errorf("after the overlap: objects %v", got)
		}
	})
}

func TestRestartSeesWhatChangedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		lease := acquire(t, n, ask("stored", "a"))
		n.stop()
		n.objects.put("pull", "two")

		next := n.again(t)
		restored, ok := next.Restore(lease.Key(), "a", pod{})
		next.run(t)
		if !ok || password(restored) != "two" {
			t.Errorf("restored %v with %q", ok, password(restored))
		}
	})
}

func TestADeletedConnectorStopsRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		minted, static := acquire(t, n, ask("minting", "a")), acquire(t, n, ask("stored", "a"))
		minted.Retire()
		static.Retire()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if static.State().Credential != nil {
			t.Error("static content outlived its grace time")
		}
		time.Sleep(48 * time.Minute)
		synctest.Wait()
		if password(minted) != "password-1" {
			t.Errorf("minted content is %q before it expires", password(minted))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if minted.State().Credential != nil {
			t.Error("minted content outlived its life")
		}
	})
}

func TestWhatTheConnectorDoesNotAllowIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		kind   string
		life   time.Duration
		change func(*credentials.Request)
		want   string
		calls  int
	}{
		{
			"life without end", "minting", 0, func(*credentials.Request) {},
			"issuer minting gave a credential without an end within 24 h: set spec.allowLongLived: true on the Connector, or shorten it at the provider", 1,
		},
		{
			"too short", "minting", time.Hour, func(r *credentials.Request) { r.MinimumLife = 2 * time.Hour },
			"the credential lives 1h0m0s, shorter than token.minimum: lower token.minimum or raise the provider's life", 1,
		},
		{
			"scope that nobody enforces", "stored", 0, func(r *credentials.Request) { r.Scope.Actions = []connector.Action{connector.Pull} },
			"issuer stored cannot limit a credential to repositories or actions: take scope and narrowing away, or set spec.scopeEnforcement: BestEffort on the Connector", 0,
		},
		{
			"too coarse", "stored", 0, func(r *credentials.Request) { r.Connector.MinimumScope = connector.GrainProject },
			"issuer stored limits credentials by identity, coarser than spec.minimumScope: project", 0,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t)
				n.objects.put("pull", "one")
				n.run(t)
				n.provider.set(func(p *provider) { p.life = tc.life })
				for range 2 { // the second answer comes from memory
					_, err := n.Acquire(t.Context(), ask(tc.kind, "a", tc.change))
					if err == nil || err.Error() != tc.want {
						t.Errorf("got %v\nwant %s", err, tc.want)
					}
				}
				if got := n.provider.callCount(); got != tc.calls {
					t.Errorf("%d calls, want %d", got, tc.calls)
				}
			})
		})
	}
}

func TestAgeLimitReplacesALongLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 20 * time.Hour })
		req := ask("making", "a")
		req.Connector.MaxAge = time.Hour
		acquire(t, n, req)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := n.provider.callCount(); got != 2 {
			t.Errorf("%d calls after the age limit", got)
		}
	})
}

func TestStaticContentThatItsOwnerTookBackGoesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		lease := acquire(t, n, ask("stored", "a"))
		n.objects.put("pull", takenBack)
		n.Changed(secretChanged())
		synctest.Wait()
		if state := lease.State(); state.Credential != nil || state.Emptied != "the owner took it back: denied" {
			t.Errorf("still there: %v, emptied %q", state.Credential, state.Emptied)
		}
		if changed, _ := n.heard.counts("a"); changed != 1 {
			t.Errorf("the holder heard %d changes", changed)
		}
	})
}

func TestAnEndBeyondBeliefIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 250 * 365 * 24 * time.Hour })
		req := ask("minting", "a")
		req.Connector.AllowLongLived = true
		cred := acquire(t, n, req).State().Credential
		if !cred.ExpiresAt.IsZero() || !cred.LongLived {
			t.Errorf("expires at %v, long-lived %v", cred.ExpiresAt, cred.LongLived)
		}
	})
}

func TestARevocationEndsWithTheCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		lease := acquire(t, n, ask("making", "a"))
		n.provider.set(func(p *provider) { p.down = true })
		lease.Withdraw()
		time.Sleep(70 * time.Minute) // the credential lived an hour
		synctest.Wait()
		if got := n.audited.events(); len(n.intents.keys()) != 0 || got[len(got)-1] != audit.NotRevocable {
			t.Errorf("intents %v, events %v", n.intents.keys(), got)
		}
	})
}

func TestFewRevocationsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.slow = time.Second })
		for i := range 100 {
			req := ask("making", fmt.Sprint("pod-", i))
			req.Scope.Repositories = []string{fmt.Sprint("repository-", i)}
			acquire(t, n, req).Withdraw()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n.provider.set(func(p *provider) {
			if p.mostRevoking > 4 || len(p.live) != 0 {
				t.Errorf("%d revocations at once, %d objects left", p.mostRevoking, len(p.live))
			}
		})
	})
}

func TestAProviderThatHangsDoesNotHoldUpTheRevocationsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.hangs = "other" })
		other := func(r *credentials.Request) { r.Connector.Ref.Name = "other" }
		for i := range 20 {
			req := ask("making", fmt.Sprint("pod-", i), other)
			req.Scope.Repositories = []string{fmt.Sprint("repository-", i)}
			acquire(t, n, req).Withdraw()
		}
		synctest.Wait()
		acquire(t, n, ask("making", "a")).Withdraw()
		synctest.Wait()
		n.provider.set(func(p *provider) {
			if len(p.revoked) != 1 || len(p.live) != 20 {
				t.Errorf("%d revoked at once, %d objects left", len(p.revoked), len(p.live))
			}
		})
	})
}

func TestARestartDoesNotBringEmptiedContentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		n.objects.put("pull", "one")
		n.run(t)
		lease := acquire(t, n, ask("stored", "a"))
		n.objects.remove("pull")
		n.Changed(secretChanged())
		time.Sleep(9 * time.Minute)
		synctest.Wait()
		n.stop()

		next := n.again(t) // the grace time goes on, it does not begin again
		restored, ok := next.Restore(lease.Key(), "a", pod{})
		next.run(t)
		if !ok || password(restored) != "one" {
			t.Errorf("in its grace time: restored %v, %q", ok, password(restored))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if password(restored) != "" {
			t.Error("a restart lengthened the grace time")
		}
		next.stop()
		if _, ok := n.again(t).Restore(lease.Key(), "a", pod{}); ok {
			t.Error("emptied content came back with a restart")
		}
	})
}

func TestExpiredContentIsEmptyBeforeAnybodyReadsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		lease := acquire(t, n, ask("minting", "a"))
		n.stop()
		time.Sleep(2 * time.Hour)
		if restored, ok := n.again(t).Restore(lease.Key(), "a", pod{}); ok && restored.State().Credential != nil {
			t.Error("an expired credential was restored")
		}
	})
}

func TestAConnectorThatComesBackIsRenewedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		req := ask("minting", "a")
		lease := acquire(t, n, req)
		lease.Retire()
		time.Sleep(time.Minute)
		lease.Revive(req.Connector)
		time.Sleep(50 * time.Minute)
		synctest.Wait()
		if got := n.provider.callCount(); got != 2 {
			t.Errorf("%d calls", got)
		}
	})
}

func TestAnOldAnswerIsNotAskedForInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.age = 50 * time.Minute })
		acquire(t, n, ask("minting", "a"))
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if got := n.provider.callCount(); got > 3 {
			t.Errorf("%d calls in four minutes", got)
		}
	})
}

// Only what is read from an object stays the credential that it was when it
// says the same again. A provider that repeats itself has given another one: it
// is as young as its answer, and what it replaces is revoked.
func TestARepeatedAnswerIsAnotherCredential(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life, p.same = 0, "the same" })
		req := ask("making", "a", func(r *credentials.Request) { r.Connector.MaxAge, r.Connector.Overlap = time.Hour, time.Minute })
		lease := acquire(t, n, req)
		first, made := lease.State().Credential, n.provider.objects()
		time.Sleep(time.Hour + 2*time.Minute) // renewed within the last eighth, and the overlap over
		synctest.Wait()
		second := lease.State().Credential
		if second.ID == first.ID || !second.IssuedAt.After(first.IssuedAt.Add(50*time.Minute)) {
			t.Errorf("ID %s of %s became %s of %s", first.ID, first.IssuedAt, second.ID, second.IssuedAt)
		}
		if calls := n.provider.callCount(); calls != 2 {
			t.Errorf("%d calls, want the first and one renewal", calls)
		}
		n.provider.set(func(p *provider) {
			if diff := cmp.Diff(made, p.revoked); diff != "" {
				t.Errorf("revoked (-want +got):\n%s", diff)
			}
		})
		var renewed []string
		for _, r := range n.audited.records {
			if r.Event == audit.Renewed {
				renewed = append(renewed, r.Replaces+" by "+r.CredentialID)
			}
		}
		if diff := cmp.Diff([]string{first.ID + " by " + second.ID}, renewed); diff != "" {
			t.Errorf("audited (-want +got):\n%s", diff)
		}
	})
}

func TestRenewalUsesTheIdentityThatHasFreshTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		alive := acquire(t, n, ask("minting", "alive"))
		acquire(t, n, ask("minting", "terminating")) // the last one to come renews for all
		n.provider.set(func(p *provider) { p.dead = "terminating" })
		for range 55 {
			time.Sleep(time.Minute)
			alive.IdentityRefreshed()
		}
		synctest.Wait()
		if password(alive) == "password-1" || password(alive) == "" {
			t.Errorf("the credential is %q", password(alive))
		}
	})
}

func TestAWithdrawnHolderDoesNotRenewForTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		acquire(t, n, ask("making", "stays"))
		withdrawn := acquire(t, n, ask("making", "goes"))
		n.provider.set(func(p *provider) { p.dead = "goes" })
		withdrawn.Withdraw()
		synctest.Wait()
		if got := n.provider.callCount(); got != 2 || len(n.provider.objects()) != 1 {
			t.Errorf("%d calls, objects %v", got, n.provider.objects())
		}
	})
}
