package connector_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func TestNarrow(t *testing.T) {
	limit := connector.Scope{Repositories: []string{"team/**", "base/*"}, Actions: []connector.Action{connector.Pull}}
	for _, tc := range []struct {
		name        string
		limit, want connector.Scope
		got         connector.Scope
		err         string
	}{
		{"no wish takes the limit", limit, connector.Scope{}, connector.Scope{Repositories: []string{"base/*", "team/**"}, Actions: limit.Actions}, ""},
		{"a wish inside", limit, connector.Scope{Repositories: []string{"team/b", "team/a/x"}}, connector.Scope{Repositories: []string{"team/a/x", "team/b"}, Actions: limit.Actions}, ""},
		{"a pattern inside", limit, connector.Scope{Repositories: []string{"team/a/**"}}, connector.Scope{Repositories: []string{"team/a/**"}, Actions: limit.Actions}, ""},
		{"no limit", connector.Scope{}, connector.Scope{Repositories: []string{"any/*"}, Actions: []connector.Action{connector.Push}}, connector.Scope{Repositories: []string{"any/*"}, Actions: []connector.Action{connector.Push}}, ""},
		{
			"outside", limit,
			connector.Scope{Repositories: []string{"team-evil/x"}},
			connector.Scope{},
			`repository "team-evil/x" is outside the Connector's spec.scope.repositories ["team/**" "base/*"]`,
		},
		{
			"a pattern wider than the limit", limit,
			connector.Scope{Repositories: []string{"base/**"}},
			connector.Scope{},
			`repository "base/**" is outside the Connector's spec.scope.repositories ["team/**" "base/*"]`,
		},
		{
			"an action outside", limit,
			connector.Scope{Actions: []connector.Action{connector.Push}},
			connector.Scope{},
			`action "push" is outside the Connector's spec.scope.actions ["pull"]`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.limit.Narrow(tc.want)
			if diff := cmp.Diff(tc.got, got); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (tc.err == "") || (err != nil && (err.Error() != tc.err || !errors.Is(err, connector.ErrDenied))) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestGrains(t *testing.T) {
	if !connector.GrainNone.Coarser(connector.GrainProject) || connector.GrainRepository.Coarser(connector.GrainProject) ||
		connector.Grain("").Coarser(connector.GrainNone) {
		t.Error("grains are out of order")
	}
}

func TestParseRef(t *testing.T) {
	for written, want := range map[string]string{"a": "ci/a", "b/a": "b/a", "cluster:a.b": "cluster:a.b"} {
		if ref, err := connector.ParseRef(written, "ci"); err != nil || ref.String() != want {
			t.Errorf("%q: %v, %v", written, ref, err)
		}
	}
	for _, written := range []string{"", "A", "a/", "/a", "a/b/c", "cluster:", "cluster:a/b", "-a", "a b"} {
		if _, err := connector.ParseRef(written, "ci"); !errors.Is(err, connector.ErrInvalid) {
			t.Errorf("%q: %v", written, err)
		}
	}
}

func TestConsents(t *testing.T) {
	own := connector.Ref{Namespace: "ci", Name: "x"}
	for _, tc := range []struct {
		name   string
		ref    connector.Ref
		access []connector.Peer
		pod    connector.Subject
		labels map[string]string
		want   bool
	}{
		{"own namespace without access", own, nil, connector.Subject{Namespace: "ci"}, nil, true},
		{"foreign without access", own, nil, connector.Subject{Namespace: "b"}, nil, false},
		{"own namespace, empty access", own, []connector.Peer{}, connector.Subject{Namespace: "ci"}, nil, false},
		{"cluster without access", connector.Ref{Name: "x"}, nil, connector.Subject{}, nil, false},
		{"listed namespace", own, []connector.Peer{{Namespaces: []string{"b"}}}, connector.Subject{Namespace: "b"}, nil, true},
		{"own namespace when others are listed", own, []connector.Peer{{Namespaces: []string{"b"}}}, connector.Subject{Namespace: "ci"}, nil, false},
		{"all fields of a peer", own, []connector.Peer{{Namespaces: []string{"b"}, ServiceAccounts: []string{"s"}}}, connector.Subject{Namespace: "b", ServiceAccount: "t"}, nil, false},
		{"peer without namespaces means the own one", own, []connector.Peer{{ServiceAccounts: []string{"s"}}}, connector.Subject{Namespace: "ci", ServiceAccount: "s"}, nil, true},
		{"and no other", own, []connector.Peer{{ServiceAccounts: []string{"s"}}}, connector.Subject{Namespace: "b", ServiceAccount: "s"}, nil, false},
		{"peer without namespaces of a cluster one", connector.Ref{Name: "x"}, []connector.Peer{{ServiceAccounts: []string{"s"}}}, connector.Subject{Namespace: "b", ServiceAccount: "s"}, nil, false},
		{
			"by label",
			connector.Ref{Name: "x"},
			[]connector.Peer{{NamespaceSelector: &connector.Selector{MatchLabels: map[string]string{"tier": "ci"}}}},
			connector.Subject{Namespace: "b"},
			map[string]string{"tier": "ci"},
			true,
		},
		{
			"by expression",
			connector.Ref{Name: "x"},
			[]connector.Peer{{NamespaceSelector: &connector.Selector{MatchExpressions: []connector.Requirement{{Key: "tier", Operator: "NotIn", Values: []string{"ci"}}}}}},
			connector.Subject{Namespace: "b"},
			map[string]string{"tier": "ci"},
			false,
		},
		{
			"an unknown operator matches nothing",
			connector.Ref{Name: "x"},
			[]connector.Peer{{NamespaceSelector: &connector.Selector{MatchExpressions: []connector.Requirement{{Key: "tier", Operator: "Near"}}}}},
			connector.Subject{Namespace: "b"},
			nil, false,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := connector.Connector{Ref: tc.ref, Access: tc.access}
			if got := c.Consents(tc.pod, tc.labels); got != tc.want {
				t.Errorf("consents: %v", got)
			}
		})
	}
}
