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
// together, neither in their first life nor later.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count, bucket = 3000, 10 * time.Second
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
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		var asked []time.Time
		n.provider.set(func(p *provider) { asked = slices.Clone(p.asked[count:]) })

		for name, window := range map[string]struct{ from, to time.Duration }{
			"first-renewals": {30 * time.Minute, 45 * time.Minute}, // a half to three quarters of the life
			"later-life":     {3 * time.Hour, 4 * time.Hour},
		} {
			buckets := make([]int, (window.to-window.from)/bucket)
			var total int
			for _, at := range asked {
				if after := at.Sub(issued); after >= window.from && after < window.to {
					buckets[(after-window.from)/bucket]++
					total++
				}
			}
			if total < count {
				t.Errorf("%s: %d renewals of %d credentials", name, total, count)
			}
			peak := float64(slices.Max(buckets)) * float64(len(buckets)) / float64(total)
			t.Attr(name+"-peak-over-mean", fmt.Sprintf("%.2f", peak))
			if peak > 3 {
				t.Errorf("%s: %d renewals within %v, %.1f times the mean", name, slices.Max(buckets), bucket, peak)
			}
		}
	})
}
