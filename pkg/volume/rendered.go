package volume

import (
	"crypto/sha256"
	"encoding/binary"
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

// rendering is what a volume has to show. Nobody may change the files.
type rendering struct {
	in    render.Input
	files render.Files
	sum   digest
}

// digest tells contents apart without keeping them. The zero value is no
// content's.
type digest [sha256.Size]byte

func renderNow(in render.Input) (rendering, error) {
	files, err := render.Render(in)
	if err != nil {
		return rendering{}, err
	}
	return rendering{in, files, digestOf(files)}, nil
}

func digestOf(files render.Files) digest {
	sum := sha256.New()
	var size [8]byte
	write := func(data []byte) {
		sum.Write(binary.BigEndian.AppendUint64(size[:0], uint64(len(data))))
		sum.Write(data)
	}
	for _, f := range files {
		write([]byte(f.Path))
		write(f.Data)
	}
	return digest(sum.Sum(nil))
}

// render is render.Render, and what the files are known by.
func (r *rendered) render(in render.Input) (rendering, error) {
	if len(in.Sources) == 0 || in.Sources[0].Credential == nil {
		return renderNow(in)
	}
	key := renderedFor{in.Sources[0].Credential, strings.Join(in.Configurations, ",")}
	r.mu.Lock()
	known := r.last[key]
	r.mu.Unlock()
	if known.files != nil && reflect.DeepEqual(known.in, in) {
		return known, nil
	}
	made, err := renderNow(in)
	if err == nil {
		r.remember(key, made)
	}
	return made, err
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
