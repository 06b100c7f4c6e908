package credentials

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// lookup is one question that an issuer asked of Objects, and the answer's
// version: when the answer would differ now, the credential is issued anew.
type lookup struct {
	Kind     connector.ObjectKind `json:"kind"`
	Name     string               `json:"name,omitempty"`
	Selector *connector.Selector  `json:"selector,omitempty"`
	Version  string               `json:"version"`
}

const absent = "absent"

// recorder answers from one namespace and remembers each question.
type recorder struct {
	objects   Objects
	namespace string

	mu      sync.Mutex
	lookups []lookup
}

// Object implements issuers.Objects.
func (r *recorder) Object(ctx context.Context, kind connector.ObjectKind, name string) (*connector.Object, error) {
	object, err := r.objects.Object(ctx, kind, r.namespace, name)
	r.remember(lookup{Kind: kind, Name: name, Version: versionOf(object)})
	return object, err
}

// Select implements issuers.Objects.
func (r *recorder) Select(ctx context.Context, kind connector.ObjectKind, selector connector.Selector) ([]*connector.Object, error) {
	if selector.Empty() {
		return nil, connector.Errorf(connector.ErrInvalid, "an empty selector would choose every %s of namespace %s", kind, r.namespace)
	}
	objects, err := r.objects.Select(ctx, kind, r.namespace, selector)
	r.remember(lookup{Kind: kind, Selector: &selector, Version: versionOf(objects...)})
	return objects, err
}

func (r *recorder) remember(l lookup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups = append(r.lookups, l)
}

// taken returns the questions asked so far.
func (r *recorder) taken() []lookup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lookups)
}

// versionOf tells one answer from another.
func versionOf(objects ...*connector.Object) string {
	var b strings.Builder
	for _, o := range objects {
		if o == nil {
			return absent
		}
		b.WriteString(o.Name + "@" + o.Version + ";")
	}
	return b.String()
}

// concerns reports whether a change may alter the answer. Labels of a removed
// object are unknown, so every change of the kind concerns a selector.
func (l lookup) concerns(change connector.Change) bool {
	return connector.ChangeKind(l.Kind) == change.Kind && (l.Selector != nil || l.Name == change.Name)
}

// outdated asks the question again.
func (l lookup) outdated(ctx context.Context, objects Objects, namespace string) bool {
	again := &recorder{objects: objects, namespace: namespace}
	if l.Selector != nil {
		_, _ = again.Select(ctx, l.Kind, *l.Selector) // the version tells the failure too
	} else {
		_, _ = again.Object(ctx, l.Kind, l.Name)
	}
	taken := again.taken()
	return len(taken) != 1 || taken[0].Version != l.Version
}
