package connector_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func TestSelectorValidate(t *testing.T) {
	const noLabel = ` is no label: write, for example, tier or example.com/tier`
	for name, tc := range map[string]struct {
		selector connector.Selector
		want     []string
	}{
		"good": {connector.Selector{
			MatchLabels:      map[string]string{"tier": "ci", "example.com/tier": ""},
			MatchExpressions: []connector.Requirement{{Key: "a", Operator: "In", Values: []string{"b"}}, {Key: "a", Operator: "Exists"}},
		}, nil},
		"empty": {connector.Selector{}, []string{"spec.selector: an empty selector chooses everything: write matchLabels or matchExpressions"}},
		"labels": {connector.Selector{MatchLabels: map[string]string{"bad key!": "a b"}}, []string{
			`spec.selector.matchLabels[bad key!]: "bad key!"` + noLabel,
			`spec.selector.matchLabels[bad key!]: "a b" is no value of a label: use letters, digits, dashes, underscores and dots, at most 63`,
		}},
		"expressions": {connector.Selector{MatchExpressions: []connector.Requirement{
			{Key: "", Operator: "In"}, {Key: "a", Operator: "Exists", Values: []string{"-"}}, {Key: "a", Operator: "Near"},
		}}, []string{
			`spec.selector.matchExpressions[0].key: ""` + noLabel,
			"spec.selector.matchExpressions[0].values: In needs values",
			`spec.selector.matchExpressions[1].values[0]: "-" is no value of a label: use letters, digits, dashes, underscores and dots, at most 63`,
			"spec.selector.matchExpressions[1].values: Exists takes no values",
			`spec.selector.matchExpressions[2].operator: "Near" is unknown: write In, NotIn, Exists or DoesNotExist`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, mistake := range connector.FieldErrors("spec.selector", tc.selector.Validate()) {
				got = append(got, mistake.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzNames holds names to what Kubernetes accepts.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"tier", "example.com/tier", "a/b/c", "A/b", "a_b.c-d", "-a", "a.", "/", "bad key!", "a..b", "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := connector.IsQualifiedName(s), len(validation.IsQualifiedName(s)) == 0; got != want {
			t.Errorf("qualified name %q: %v", s, got)
		}
		if got, want := connector.IsName(s), len(validation.IsDNS1123Subdomain(s)) == 0; got != want {
			t.Errorf("name %q: %v", s, got)
		}
	})
}
