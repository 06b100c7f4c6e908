package files

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Options are what a Source is made from.
type Options struct {
	// Dir is the directory to read and watch.
	Dir string
	// ClusterResourceNamespace is where the references of ClusterConnectors
	// are read.
	ClusterResourceNamespace string
	// Issuers are the kinds that spec.issuer can name.
	Issuers []issuers.Definition
	// Rescan is how often everything is looked at even though nothing told of
	// a change, as when a link leads out of the directory; zero = every minute.
	Rescan time.Duration
}

// Source answers from memory what the manifests of a directory say. Its
// methods are safe for concurrent use; what they return is shared and must
// not be altered.
type Source struct {
	dir     string
	convert v1alpha1.Options
	rescan  time.Duration

	current atomic.Pointer[snapshot]
	read    map[string]*document // by name; belongs to Load, then to Run

	mu          sync.Mutex
	subscribers []func(connector.Change)
}

// New makes a Source. It reads nothing yet: call Load, then Run.
func New(opts Options) (*Source, error) {
	if opts.Dir == "" {
		return nil, connector.Errorf(connector.ErrInvalid, "the directory of manifests has no name")
	}
	if len(opts.Issuers) == 0 {
		return nil, errors.New("a source of manifests needs the list of issuers")
	}
	s := &Source{
		dir:     opts.Dir,
		convert: v1alpha1.Options{ClusterResourceNamespace: opts.ClusterResourceNamespace, Issuers: opts.Issuers},
		rescan:  opts.Rescan,
		read:    map[string]*document{},
	}
	if s.rescan <= 0 {
		s.rescan = time.Minute
	}
	s.current.Store(&snapshot{})
	return s, nil
}

// Subscribe has changed called for each object that is added, altered or
// removed, from the goroutine of Load or Run and without a lock held. It is
// never called for what the first Load finds when subscribed after it.
func (s *Source) Subscribe(changed func(connector.Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, changed)
}

func (s *Source) tell(list []connector.Change) {
	s.mu.Lock()
	subscribers := slices.Clone(s.subscribers)
	s.mu.Unlock()
	for _, c := range list {
		for _, changed := range subscribers {
			changed(c)
		}
	}
}

// Problems lists the mistakes of all files as they are now.
func (s *Source) Problems() []Problem { return slices.Clone(s.current.Load().problems) }

// Connector returns the valid generation in force. The error wraps
// connector.ErrNotFound, or connector.ErrPrecondition when the manifest was
// never valid.
func (s *Source) Connector(ref connector.Ref) (*connector.Connector, error) {
	return lookUp[*connector.Connector](s.current.Load(), connectorID(ref))
}

// Connectors lists those that are in force, in no order.
func (s *Source) Connectors() []connector.Ref {
	var refs []connector.Ref
	for _, value := range s.current.Load().values {
		if c, ok := value.(*connector.Connector); ok {
			refs = append(refs, c.Ref)
		}
	}
	return refs
}

// NamespaceLabels returns the labels of a namespace. Each one has its implicit
// label kubernetes.io/metadata.name, also without a manifest.
func (s *Source) NamespaceLabels(namespace string) map[string]string {
	if labels, ok := s.current.Load().values[id{kind: kindNamespace, name: namespace}].(map[string]string); ok {
		return labels
	}
	return namespaceLabels(namespace)
}

// Object returns a Secret or ConfigMap. The error wraps connector.ErrNotFound,
// or connector.ErrPrecondition when the manifest was never valid. The Version
// is a digest of the content: it must not be logged or written to disk.
func (s *Source) Object(_ context.Context, kind connector.ObjectKind, namespace, name string) (*connector.Object, error) {
	return lookUp[*connector.Object](s.current.Load(), id{kind: string(kind), namespace: namespace, name: name})
}

// Select returns the Secrets or ConfigMaps of a namespace that a selector
// chooses, sorted by name; none is not an error. An empty selector is
// connector.ErrInvalid.
func (s *Source) Select(_ context.Context, kind connector.ObjectKind, namespace string, selector connector.Selector) ([]*connector.Object, error) {
	if selector.Empty() {
		return nil, connector.Errorf(connector.ErrInvalid, "an empty selector would choose every %s", kind)
	}
	var chosen []*connector.Object
	for i, value := range s.current.Load().values {
		if o, ok := value.(*connector.Object); ok && i.kind == string(kind) && i.namespace == namespace && selector.Matches(o.Labels) {
			chosen = append(chosen, o)
		}
	}
	slices.SortFunc(chosen, func(a, b *connector.Object) int { return strings.Compare(a.Name, b.Name) })
	return chosen, nil
}

func lookUp[T any](s *snapshot, i id) (T, error) {
	if value, ok := s.values[i].(T); ok {
		return value, nil
	}
	var none T
	if err, ok := s.broken[i]; ok {
		return none, err
	}
	return none, connector.Errorf(connector.ErrNotFound, "%s has no manifest", i)
}
