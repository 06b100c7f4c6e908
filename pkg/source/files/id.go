package files

import (
	"cmp"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// The kinds that are read beside those of v1alpha1.
const (
	kindSecret         = string(connector.KindSecret)
	kindConfigMap      = string(connector.KindConfigMap)
	kindNamespace      = "Namespace"
	kindServiceAccount = "ServiceAccount"
)

// kinds are all that are read.
func kinds() []string {
	return []string{v1alpha1.KindConnector, v1alpha1.KindClusterConnector, kindSecret, kindConfigMap, kindNamespace, kindServiceAccount}
}

// apiVersion tells which one each kind that is read has.
func apiVersion(kind string) (version string, known bool) {
	switch kind {
	case v1alpha1.KindConnector, v1alpha1.KindClusterConnector:
		return v1alpha1.GroupVersion, true
	case kindSecret, kindConfigMap, kindNamespace, kindServiceAccount:
		return "v1", true
	default:
		return "", false
	}
}

// id names an object.
type id struct{ kind, namespace, name string }

func connectorID(ref connector.Ref) id {
	if ref.Cluster() {
		return id{kind: v1alpha1.KindClusterConnector, name: ref.Name}
	}
	return id{kind: v1alpha1.KindConnector, namespace: ref.Namespace, name: ref.Name}
}

// String gives kind and name as kubectl users say it.
func (i id) String() string {
	if i.namespace == "" {
		return i.kind + " " + i.name
	}
	return i.kind + " " + i.namespace + "/" + i.name
}

func compareIDs(a, b id) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

// change tells subscribers of the object; nobody reads ServiceAccounts.
func (i id) change() (c connector.Change, tell bool) {
	switch i.kind {
	case v1alpha1.KindConnector, v1alpha1.KindClusterConnector:
		return connector.Change{Kind: connector.ChangedConnector, Namespace: i.namespace, Name: i.name}, true
	case kindServiceAccount:
		return connector.Change{}, false
	default:
		return connector.Change{Kind: connector.ChangeKind(i.kind), Namespace: i.namespace, Name: i.name}, true
	}
}
