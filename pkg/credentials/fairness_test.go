package credentials_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
)

// A shortened maxAge is seen at once, also by holders of a running credential.
func TestAShorterMaxAgeWakesTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.life = 24 * time.Hour })
		acquire(t, n, ask("minting", "a"))
		time.Sleep(10*time.Minute + 7*time.Second)
		synctest.Wait()
		if n.AtHand(ask("minting", "a", func(r *credentials.Request) { r.Connector.MaxAge, r.Connector.Generation = 5*time.Minute, 2 })) == nil {
			t.Fatal("nothing at hand")
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if calls := n.provider.callCount(); calls != 2 {
			t.Errorf("%d calls, want the renewal within seconds", calls)
		}
	})
}

// Connectors of one namespace whose provider hangs leave a worker to others.
func TestHangingProvidersOfOneTenantLeaveRevocationsToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		n.provider.set(func(p *provider) { p.hangs = "mallory" })
		var hanging []*credentials.Lease
		for i := range 40 {
			hanging = append(hanging, acquire(t, n, ask("making", fmt.Sprint("hanging-", i), func(r *credentials.Request) {
				r.Connector.Ref = connector.Ref{Namespace: "mallory", Name: fmt.Sprint("c", i%4)}
				r.Scope.Repositories = []string{fmt.Sprint("r", i)}
			})))
		}
		for _, l := range hanging {
			l.Withdraw()
		}
		time.Sleep(2 * time.Second)
		l := acquire(t, n, ask("making", "alice"))
		before := len(n.provider.objects())
		l.Withdraw()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if after := len(n.provider.objects()); after != before-1 {
			t.Errorf("%d objects before the withdrawal, %d after it", before, after)
		}
	})
}

// While the successor of a withdrawn credential is on its way, nobody else is
// given the one that goes.
func TestNobodyGetsACredentialThatIsBeingCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		a := acquire(t, n, ask("making", "a"))
		acquire(t, n, ask("making", "b"))
		cut := password(a)
		n.provider.set(func(p *provider) { p.delay = 30 * time.Second })
		a.Withdraw()
		time.Sleep(time.Second)
		if l := n.AtHand(ask("making", "c")); l != nil {
			t.Errorf("c is given %q", password(l))
		}
		if l := acquire(t, n, ask("making", "c")); password(l) == cut {
			t.Error("c is given what is revoked")
		}
	})
}

// What is remembered of keys tells apart what the keys tell apart.
func TestKeysRememberWhatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		req := ask("minting", "a")
		short := req
		short.Holder, short.TTL = "b", 5*time.Minute
		for range 2 {
			a, b := acquire(t, n, req), acquire(t, n, short)
			if a.Key() == b.Key() {
				t.Fatal("two wished lives share a credential")
			}
		}
	})
}
