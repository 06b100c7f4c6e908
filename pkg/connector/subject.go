package connector

import (
	"strings"
)

// Subject is the pod that a credential is for, as the kubelet names it.
type Subject struct {
	Namespace         string `json:"namespace"`
	ServiceAccount    string `json:"serviceAccount"`
	ServiceAccountUID string `json:"serviceAccountUID,omitempty"` // known only from a token
	Pod               string `json:"pod,omitempty"`
	PodUID            string `json:"podUID,omitempty"`
}

// String names the ServiceAccount, the part of a subject that grants speak of.
func (s Subject) String() string { return s.Namespace + "/" + s.ServiceAccount }

// Ref names a Connector, or a ClusterConnector when Namespace is empty.
type Ref struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

const clusterPrefix = "cluster:"

// ParseRef reads name, namespace/name or cluster:name as a pod of the given
// namespace writes it. The error wraps ErrInvalid.
func ParseRef(written, podNamespace string) (Ref, error) {
	if name, ok := strings.CutPrefix(written, clusterPrefix); ok {
		return checkedRef(written, Ref{Name: name}, false)
	}
	if namespace, name, ok := strings.Cut(written, "/"); ok {
		return checkedRef(written, Ref{Namespace: namespace, Name: name}, true)
	}
	return checkedRef(written, Ref{Namespace: podNamespace, Name: written}, true)
}

func checkedRef(written string, r Ref, namespaced bool) (Ref, error) {
	if !IsName(r.Name) || (namespaced && !IsName(r.Namespace)) {
		return Ref{}, Errorf(ErrInvalid, "connector %q: write name, namespace/name or cluster:name", written)
	}
	return r, nil
}

// IsName accepts the RFC 1123 subdomain that Kubernetes requires of object names.
func IsName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// Cluster reports whether r names a ClusterConnector.
func (r Ref) Cluster() bool { return r.Namespace == "" }

// String gives namespace/name or cluster:name.
func (r Ref) String() string {
	if r.Cluster() {
		return clusterPrefix + r.Name
	}
	return r.Namespace + "/" + r.Name
}

// MarshalText makes a Ref readable in records and logs.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reverses MarshalText.
func (r *Ref) UnmarshalText(text []byte) error {
	ref, err := ParseRef(string(text), "")
	if err == nil {
		*r = ref
	}
	return err
}
