package volume

import (
	"reflect"
	"strings"
	"sync"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// mostRendered bounds what is remembered; it is forgotten whole when full.
const mostRendered = 16

// rendered remembers the files of credentials in force. Pods that share a
// credential mostly ask for the same files, which are then rendered once.
type rendered struct {
	mu   sync.Mutex
	last map[renderedFor]rendering
}

// renderedFor tells renderings apart at a glance; the whole input decides.
type renderedFor struct {
	credential     *connector.Credential // of the first connector
	configurations string
}

type rendering struct {
	in    render.Input
	files render.Files
}

// render is render.Render. Nobody may change the files.
func (r *rendered) render(in render.Input) (render.Files, error) {
	if len(in.Sources) == 0 || in.Sources[0].Credential == nil {
		return render.Render(in)
	}
	key := renderedFor{in.Sources[0].Credential, strings.Join(in.Configurations, ",")}
	r.mu.Lock()
	known := r.last[key]
	r.mu.Unlock()
	if known.files != nil && reflect.DeepEqual(known.in, in) {
		return known.files, nil
	}
	files, err := render.Render(in)
	if err == nil {
		r.remember(key, rendering{in, files})
	}
	return files, err
}

func (r *rendered) remember(key renderedFor, made rendering) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil || len(r.last) >= mostRendered {
		r.last = map[renderedFor]rendering{}
	}
	r.last[key] = made
}

// forget drops what was rendered from credentials that are superseded now.
func (r *rendered) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.last)
}
