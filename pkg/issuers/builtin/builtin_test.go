package builtin_test

import (
	"encoding/json"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

func TestDefinitionsAreSortedAndComplete(t *testing.T) {
	var kinds []string
	for _, d := range builtin.Definitions() {
		kinds = append(kinds, d.Kind)
		if d.Summary == "" || d.Identity == "" || d.Life == "" || d.Sharing == "" || d.Config == nil {
			t.Errorf("%s: a field of its docs is empty: %+v", d.Kind, d.Docs)
		}
	}
	if !slices.IsSorted(kinds) || len(slices.Compact(kinds)) != len(builtin.Definitions()) {
		t.Errorf("kinds are not sorted and unique: %q", kinds)
	}
}

// The example of each kind is a Connector with exactly that issuer, which the
// kind accepts.
func TestExamplesAreAccepted(t *testing.T) {
	for _, d := range builtin.Definitions() {
		t.Run(d.Kind, func(t *testing.T) {
			issuer := examplesIssuer(t, d)
			if issuer == nil {
				t.Fatal("no issuer was built")
			}
		})
	}
}

func examplesIssuer(t *testing.T, d issuers.Definition) issuers.Issuer {
	t.Helper()
	var manifest struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct{ Name, Namespace string }
		Spec       struct {
			Address          string                     `json:"address"`
			Registries       json.RawMessage            `json:"registries"`
			Scope            *connector.Scope           `json:"scope"`
			AllowLongLived   bool                       `json:"allowLongLived"`
			ScopeEnforcement string                     `json:"scopeEnforcement"`
			Issuer           map[string]json.RawMessage `json:"issuer"`
		}
	}
	if err := yaml.UnmarshalStrict([]byte(d.Example), &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.APIVersion != "regcred.dev/v1alpha1" || manifest.Kind != "Connector" || manifest.Metadata.Name == "" || manifest.Metadata.Namespace == "" {
		t.Errorf("example is no Connector manifest: %s %s %v", manifest.APIVersion, manifest.Kind, manifest.Metadata)
	}
	config, ok := manifest.Spec.Issuer[d.Kind]
	if !ok || len(manifest.Spec.Issuer) != 1 {
		t.Fatalf("example has not exactly the issuer %s", d.Kind)
	}
	issuer, err := d.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}
