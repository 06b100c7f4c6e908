package connector

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
