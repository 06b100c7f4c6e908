package credentials_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/credentials"
)

// A tenant's many credentials, whose provider stalls, take every worker again
// and again; the others' are renewed in time all the same.
func TestATenantWhoseProviderStallsDoesNotHoldUpTheRenewalsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t).run(t)
		foreign := func(r *credentials.Request) { r.Connector.Ref.Namespace = "mallory" }
		for i := range 500 {
			req := ask("minting", fmt.Sprint("pod-", i), foreign)
			req.Scope.Repositories = []string{fmt.Sprint("repository-", i)}
			acquire(t, n, req)
		}
		n.provider.set(func(p *provider) { p.stalls = "mallory" })
		lease := acquire(t, n, ask("minting", "alice"))
		for range 5 {
			time.Sleep(59 * time.Minute)
			synctest.Wait()
			if state := lease.State(); state.Credential == nil {
				t.Fatalf("alice has no credential: %s", state.Emptied)
			}
		}
	})
}
