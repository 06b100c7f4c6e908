package v1alpha1

import (
	"fmt"

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
	for _, mistake := range connector.FieldErrors(path, s.Validate()) {
		m.errs = append(m.errs, mistake)
	}
}
