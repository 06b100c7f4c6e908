package connector

import "slices"

// ObjectKind is the kind of an object that a Connector refers to.
type ObjectKind string

// The kinds of objects that regcred reads.
const (
	KindSecret    ObjectKind = "Secret"
	KindConfigMap ObjectKind = "ConfigMap"
)

// Object is a Secret or ConfigMap. Its data is secret either way.
type Object struct {
	Kind        ObjectKind
	Namespace   string
	Name        string
	Type        string // of a Secret
	Version     string // changes whenever the content changes
	Labels      map[string]string
	Annotations map[string]string
	Data        map[string]Secret
}

// ChangeKind says what a Change is about.
type ChangeKind string

// The kinds of changes that sources report.
const (
	ChangedConnector ChangeKind = "Connector"
	ChangedNamespace ChangeKind = "Namespace"
	ChangedSecret    ChangeKind = ChangeKind(KindSecret)
	ChangedConfigMap ChangeKind = ChangeKind(KindConfigMap)
)

// Change tells that an object was added, altered or removed. Whoever hears of
// it reads the object anew.
type Change struct {
	Kind      ChangeKind
	Namespace string // empty for ClusterConnectors and Namespaces
	Name      string
}

// Selector chooses objects by label, as Kubernetes does.
type Selector struct {
	// MatchLabels must all be present with these values.
	// +optional
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
	// MatchExpressions must all hold.
	// +optional
	// +listType=atomic
	MatchExpressions []Requirement `json:"matchExpressions,omitempty"`
}

// Requirement is one expression of a Selector.
type Requirement struct {
	// Key is the label.
	Key string `json:"key"`
	// Operator is In, NotIn, Exists or DoesNotExist.
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator string `json:"operator"`
	// Values are what In and NotIn compare with.
	// +optional
	// +listType=atomic
	Values []string `json:"values,omitempty"`
}

// Empty reports whether the selector would choose everything.
func (s Selector) Empty() bool { return len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 }

// Matches reports whether the labels satisfy the selector.
func (s Selector) Matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return !slices.ContainsFunc(s.MatchExpressions, func(r Requirement) bool { return !r.matches(labels) })
}

func (r Requirement) matches(labels map[string]string) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case "In":
		return ok && slices.Contains(r.Values, value)
	case "NotIn":
		return !ok || !slices.Contains(r.Values, value)
	case "Exists":
		return ok
	case "DoesNotExist":
		return !ok
	default:
		return false
	}
}
