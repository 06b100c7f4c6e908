package v1alpha1_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/secret"
)

type plainIssuer struct{}

func (plainIssuer) Audiences() []string { return nil }
func (plainIssuer) Issue(context.Context, issuers.Request) (*connector.Credential, error) {
	return nil, issuers.Terminate("NotCalled", "a conversion issues nothing")
}

type scoper struct {
	plainIssuer
	grain   connector.Grain
	granted *connector.Scope // nil = what is wanted
}

func (s scoper) Scope(want connector.Scope) (connector.Scope, connector.Grain) {
	if s.granted != nil {
		return *s.granted, s.grain
	}
	return want, s.grain
}

type longLiver struct{ plainIssuer }

func (longLiver) LongLived() bool { return true }

func TestAbilities(t *testing.T) {
	narrow := connector.Scope{Repositories: []string{"team/app"}}
	tests := map[string]struct {
		issuer issuers.Issuer
		change func(*v1alpha1.ConnectorSpec)
		want   []string
	}{
		"plain": {plainIssuer{}, func(*v1alpha1.ConnectorSpec) {}, nil},
		"scope without a Scoper": {
			plainIssuer{},
			func(s *v1alpha1.ConnectorSpec) { s.Scope = narrow },
			[]string{"spec.scope: issuer secret cannot limit a credential: remove spec.scope, or write scopeEnforcement: BestEffort to deliver it unlimited"},
		},
		"identity is the grain without a Scoper": {plainIssuer{}, func(s *v1alpha1.ConnectorSpec) { s.MinimumScope = connector.GrainIdentity }, nil},
		"minimum without a Scoper": {
			plainIssuer{},
			func(s *v1alpha1.ConnectorSpec) { s.MinimumScope = connector.GrainProject },
			[]string{"spec.minimumScope: issuer secret limits a credential only to identity, which is coarser than project: lower it, or write scopeEnforcement: BestEffort"},
		},
		"fine Scoper": {scoper{grain: connector.GrainRepository}, func(s *v1alpha1.ConnectorSpec) {
			s.Scope, s.MinimumScope = narrow, connector.GrainRepository
		}, nil},
		"coarse Scoper": {
			scoper{grain: connector.GrainProject},
			func(s *v1alpha1.ConnectorSpec) { s.MinimumScope = connector.GrainRepository },
			[]string{"spec.minimumScope: issuer secret limits a credential only to project, which is coarser than repository: lower it, or write scopeEnforcement: BestEffort"},
		},
		"Scoper that cannot": {
			scoper{grain: connector.GrainIdentity},
			func(s *v1alpha1.ConnectorSpec) { s.Scope = narrow },
			[]string{"spec.scope: issuer secret cannot limit a credential: remove spec.scope, or write scopeEnforcement: BestEffort to deliver it unlimited"},
		},
		"Scoper that grants more": {
			scoper{grain: connector.GrainProject, granted: &connector.Scope{Repositories: []string{"team/**"}}},
			func(s *v1alpha1.ConnectorSpec) { s.Scope = narrow },
			[]string{`spec.scope: issuer secret would grant repositories ["team/**"], actions [], which is more: write that, or scopeEnforcement: BestEffort`},
		},
		"Scoper that grants all actions": {
			scoper{grain: connector.GrainProject, granted: &narrow},
			func(s *v1alpha1.ConnectorSpec) {
				s.Scope = connector.Scope{Repositories: narrow.Repositories, Actions: []connector.Action{connector.Pull}}
			},
			[]string{`spec.scope: issuer secret would grant repositories ["team/app"], actions [], which is more: write that, or scopeEnforcement: BestEffort`},
		},
		"best effort": {plainIssuer{}, func(s *v1alpha1.ConnectorSpec) {
			s.Scope, s.MinimumScope, s.ScopeEnforcement = narrow, connector.GrainRepository, connector.BestEffort
		}, nil},
		"long-lived": {
			longLiver{},
			func(s *v1alpha1.ConnectorSpec) { s.ScopeEnforcement = connector.BestEffort },
			[]string{"spec.allowLongLived: issuer secret is configured to deliver a long-lived credential: write true to permit it, or choose a short-lived form"},
		},
		"long-lived, permitted": {longLiver{}, func(s *v1alpha1.ConnectorSpec) { s.AllowLongLived = true }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := v1alpha1.Connector{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ci", Name: "x"},
				Spec:       v1alpha1.ConnectorSpec{Issuer: v1alpha1.IssuerSource{Secret: &secret.Config{Name: "x"}}},
			}
			tt.change(&c.Spec)
			kind := issuers.Define("secret", issuers.Docs{}, "", func(secret.Config) issuers.Issuer { return tt.issuer })
			_, err := c.Convert(v1alpha1.Options{Issuers: []issuers.Definition{kind}})
			var got []string
			for _, mistake := range connector.FieldErrors("", err) {
				got = append(got, mistake.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
