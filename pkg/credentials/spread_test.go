package credentials_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// TestSpread holds that credentials which were issued together do not fall due
// together: their renewals fill the window that a life leaves for them.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			count  = 3000
			bucket = 10 * time.Second
			from   = 30 * time.Minute // half of the life
			to     = 45 * time.Minute // three quarters
		)
		n := start(t).run(t)
		for i := range count {
			req := ask("minting", fmt.Sprint("pod-", i))
			req.Identity = pod{connector.Subject{Namespace: "ci", ServiceAccount: fmt.Sprint("sa-", i)}}
			acquire(t, n, req)
		}
		if calls := n.provider.callCount(); calls != count {
			t.Fatalf("%d calls for %d credentials", calls, count)
		}
		issued := time.Now()
		time.Sleep(time.Hour)
		synctest.Wait()

		buckets := make([]int, (to-from)/bucket)
		n.provider.set(func(p *provider) {
			for _, at := range p.asked[count : 2*count] {
				after := at.Sub(issued)
				if after < from || after >= to {
					t.Fatalf("a renewal came %v after issue", after)
				}
				buckets[(after-from)/bucket]++
			}
		})
		mean := float64(count) / float64(len(buckets))
		peak := float64(slices.Max(buckets)) / mean
		t.Attr("peak", fmt.Sprintf("%.2f", peak)) // make bench reads it
		if peak > 3 {
			t.Errorf("%d renewals within %v, %.1f times the mean", slices.Max(buckets), bucket, peak)
		}
	})
}
