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
	peers = limited(m, "spec.access", peers, maxPeers)
	out := make([]connector.Peer, 0, len(peers))
	for i, p := range peers {
		path := fmt.Sprintf("spec.access[%d]", i)
		if len(p.Namespaces) == 0 && p.NamespaceSelector == nil && len(p.ServiceAccounts) == 0 {
			m.add(path, "an empty item names nobody: write namespaces, namespaceSelector or serviceAccounts")
		}
		m.names(path+".namespaces", p.Namespaces, m.namespace)
		m.names(path+".serviceAccounts", p.ServiceAccounts, m.objectName)
		if p.NamespaceSelector != nil {
			m.selector(path+".namespaceSelector", *p.NamespaceSelector)
		}
		out = append(out, connector.Peer{Namespaces: p.Namespaces, NamespaceSelector: p.NamespaceSelector, ServiceAccounts: p.ServiceAccounts})
	}
	return out
}

// The limits of the lists of access, as the API has them.
const (
	maxPeers     = 64
	maxPeerNames = 256
)

// names checks a list of names, each of which comes once.
func (m *mistakes) names(path string, names []string, check func(path, name string)) {
	notEmpty(m, path, names)
	seen := map[string]bool{}
	for i, name := range limited(m, path, names, maxPeerNames) {
		at := fmt.Sprintf("%s[%d]", path, i)
		check(at, name)
		if seen[name] {
			m.add(at, "%q comes twice: keep one", name)
		}
		seen[name] = true
	}
}

func (m *mistakes) selector(path string, s connector.Selector) {
	for _, mistake := range connector.FieldErrors(path, s.Validate()) {
		m.errs = append(m.errs, mistake)
	}
}
