package driver

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A crowd is told once when it comes and once when it is gone, and calls that
// come one by one are none.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []bool
		c := &crowd{told: func(many bool) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, many)
		}}
		meet := func(calls int, each time.Duration) {
			for range calls {
				go func() {
					_, _ = c.pass(t.Context(), nil, nil, func(context.Context, any) (any, error) {
						time.Sleep(each)
						return nil, nil
					})
				}()
			}
			synctest.Wait()
		}
		expect := func(when string, want ...bool) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(told, want) {
				t.Fatalf("%s: told %v, want %v", when, told, want)
			}
		}
		for range 3 * crowdSize {
			meet(crowdSize-1, time.Millisecond)
			time.Sleep(2 * time.Millisecond)
		}
		expect("never as many as a crowd at a time")
		for range 10 {
			meet(crowdSize, time.Millisecond)
			time.Sleep(crowdLinger / 2)
		}
		expect("a crowd that comes again and again", true)
		meet(crowdSize, 5*crowdLinger)
		time.Sleep(4 * crowdLinger)
		expect("only waiting calls are left", true, false)
		time.Sleep(2 * crowdLinger)
		meet(crowdSize, time.Millisecond)
		expect("another crowd", true, false, true)
		time.Sleep(3 * crowdLinger)
		expect("that one is gone", true, false, true, false)
	})
}
