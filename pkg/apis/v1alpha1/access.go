package v1alpha1

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// access keeps nil (no list) and empty (a list of nobody) apart.
func (m *mistakes) access(peers []Peer) []connector.Peer {
	if peers == nil {
		return nil
	}
	out := make([]connector.Peer, 0, len(peers))
	for i, p := range peers {
		path := fmt.Sprintf("spec.access[%d]", i)
		if len(p.Namespaces) == 0 && p.NamespaceSelector == nil && len(p.ServiceAccounts) == 0 {
			m.add(path, "an empty item names nobody: write namespaces, namespaceSelector or serviceAccounts")
		}
		m.notEmpty(path+".namespaces", p.Namespaces)
		m.notEmpty(path+".serviceAccounts", p.ServiceAccounts)
		for j, namespace := range p.Namespaces {
			m.namespace(fmt.Sprintf("%s.namespaces[%d]", path, j), namespace)
		}
		for j, account := range p.ServiceAccounts {
			m.objectName(fmt.Sprintf("%s.serviceAccounts[%d]", path, j), account)
		}
		if p.NamespaceSelector != nil {
			m.selector(path+".namespaceSelector", *p.NamespaceSelector)
		}
		out = append(out, connector.Peer{Namespaces: p.Namespaces, NamespaceSelector: p.NamespaceSelector, ServiceAccounts: p.ServiceAccounts})
	}
	return out
}

// notEmpty refuses a list that is there and empty: it limits nothing, which
// is not what it looks like.
func (m *mistakes) notEmpty(path string, list []string) {
	if list != nil && len(list) == 0 {
		m.add(path, "an empty list limits nothing: leave it out, or name who is meant")
	}
}

func (m *mistakes) selector(path string, s connector.Selector) {
	if s.Empty() {
		m.add(path, "an empty selector chooses every namespace: write matchLabels or matchExpressions")
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		at := path + ".matchLabels[" + key + "]"
		m.labelKey(at, key)
		m.labelValue(at, s.MatchLabels[key])
	}
	for i, r := range s.MatchExpressions {
		at := fmt.Sprintf("%s.matchExpressions[%d]", path, i)
		m.labelKey(at+".key", r.Key)
		for j, value := range r.Values {
			m.labelValue(fmt.Sprintf("%s.values[%d]", at, j), value)
		}
		switch r.Operator {
		case "In", "NotIn":
			if len(r.Values) == 0 {
				m.add(at+".values", "%s needs values", r.Operator)
			}
		case "Exists", "DoesNotExist":
			if len(r.Values) > 0 {
				m.add(at+".values", "%s takes no values", r.Operator)
			}
		default:
			m.add(at+".operator", "%q is unknown: write In, NotIn, Exists or DoesNotExist", r.Operator)
		}
	}
}

func (m *mistakes) labelKey(path, key string) {
	if len(validation.IsQualifiedName(key)) > 0 {
		m.add(path, "%q is no label: write, for example, tier or example.com/tier", key)
	}
}

func (m *mistakes) labelValue(path, value string) {
	if len(validation.IsValidLabelValue(value)) > 0 {
		m.add(path, "%q is no value of a label: use letters, digits, dashes, underscores and dots, at most 63", value)
	}
}
