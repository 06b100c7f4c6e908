package v1alpha1_test

import (
	"os"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestAgreement feeds the conversion the specs that test/crds feeds an API
// server, so that both refuse the same but for the differences that say why.
func TestAgreement(t *testing.T) {
	data, err := os.ReadFile("testdata/agreement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Kind, Refused, Because string
		Spec                         any
	}
	if err := yaml.UnmarshalStrict(data, &cases); err != nil || len(cases) == 0 {
		t.Fatal(len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if !slices.Contains([]string{"both", "nobody", "code"}, c.Refused) || (c.Refused == "code") != (c.Because != "") {
				t.Fatalf("refused by %q, because %q", c.Refused, c.Because)
			}
			metadata := map[string]any{"name": "x"}
			if c.Kind == "" {
				c.Kind, metadata["namespace"] = "Connector", "ci"
			}
			manifest, err := yaml.Marshal(map[string]any{
				"apiVersion": "regcred.dev/v1alpha1", "kind": c.Kind, "metadata": metadata, "spec": c.Spec,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, mistakes := readOne(t, manifest)
			if (len(mistakes) > 0) != (c.Refused != "nobody") {
				t.Errorf("refused by %q, and the code says %v", c.Refused, mistakes)
			}
		})
	}
}
