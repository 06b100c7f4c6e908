package render

import (
	"iter"
	"strings"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// covers reports whether the first path of a key serves every repository that
// the second one does. Either may hold globs.
func covers(path, other string) bool {
	const host = "host"
	return path == "" || other != "" && connector.Key{Host: host, Path: path}.Matches(host, other)
}

// touches reports whether a path, that may hold globs, serves any repository
// that a literal one does.
func touches(path, literal string) bool {
	patterns, segments := strings.Split(path, "/"), strings.Split(literal, "/")
	common := min(len(patterns), len(segments))
	return literal == "" || covers(strings.Join(patterns[:common], "/"), strings.Join(segments[:common], "/"))
}

// parents lists the paths above one by whole segments, the nearest first and
// the whole host last.
func parents(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path != "" {
			path = path[:max(0, strings.LastIndexByte(path, '/'))]
			if !yield(path) {
				return
			}
		}
	}
}

// taken holds paths that entries serve, numbered by precedence.
type taken struct {
	literal map[string]int
	globs   []numbered
}

type numbered struct {
	path   string
	number int
}

func (t *taken) add(path string, number int) {
	if pathGlob(path) {
		t.globs = append(t.globs, numbered{path, number})
		return
	}
	if t.literal == nil {
		t.literal = make(map[string]int)
	}
	t.literal[path] = number
}

// by returns the first of the paths that leaves nothing to another one.
func (t *taken) by(path string) (first int, ok bool) {
	found := func(number int) {
		if !ok || number < first {
			first, ok = number, true
		}
	}
	if number, same := t.literal[path]; same {
		found(number)
	}
	for above := range parents(path) {
		if number, there := t.literal[above]; there {
			found(number)
		}
	}
	for _, glob := range t.globs {
		if covers(glob.path, path) {
			found(glob.number)
		}
	}
	return first, ok
}
