package soak

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// faults are how a provider fails.
var faults = []func(http.ResponseWriter, *http.Request){
	func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	},
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Repeat("<html>", 1000)) // the client may have gone
	},
	func(_ http.ResponseWriter, r *http.Request) {
		pause(r.Context(), 2*time.Second)
		panic(http.ErrAbortHandler)
	},
	func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, // it hangs
	func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"token": "cut`) // the client may have gone
		panic(http.ErrAbortHandler)
	},
}

// weather changes what the provider does to the flaky Connectors.
type weather struct {
	*node
	outages atomic.Int64
	edits   atomic.Int64 // of each changing Connector, at most
}

// run lets good and bad times alternate until ctx ends, and leaves good ones.
func (w *weather) run(ctx context.Context) {
	fail := func(fault func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			client := r.FormValue("client_id")
			switch {
			case slices.Contains(garbage, client):
				rw.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(rw, "<html>sign in</html>") // the client may have gone
			case slices.Contains(flaky, client) && fault != nil:
				fault(rw, r)
			default:
				return false
			}
			return true
		}
	}
	for i := rand.N(len(faults)); ctx.Err() == nil; i++ {
		w.provider.Answer(fail(nil))
		pause(ctx, 2*time.Second)
		w.provider.Answer(fail(faults[i%len(faults)]))
		w.outages.Add(1)
		pause(ctx, 2*time.Second)
	}
	w.provider.Answer(fail(nil))
}

// edit changes Connectors and Secrets until ctx ends, and leaves all in place.
func (w *weather) edit(ctx context.Context) {
	for i := 1; ctx.Err() == nil; i++ {
		for _, name := range static {
			w.manifest(name, login(name, i))
		}
		for _, name := range changing {
			if i%5 == 4 {
				if err := os.Remove(filepath.Join(w.input, name+".yaml")); err != nil {
					w.t.Error(err)
				}
				continue
			}
			w.manifest(name, w.tokens(name, i%3))
		}
		w.edits.Add(1)
		pause(ctx, time.Second)
	}
	for _, name := range changing {
		w.manifest(name, w.tokens(name, 0))
	}
}
