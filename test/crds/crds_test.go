// Package crds holds the generated CustomResourceDefinitions to what an API
// server does with them.
package crds

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

const directory = "../../deploy/crds/"

// definition is one CustomResourceDefinition as an API server serves it.
type definition struct {
	schema     *apiextensions.JSONSchemaProps
	structural *schema.Structural
	rules      *cel.Validator
	validator  validation.SchemaValidator
}

func load(t *testing.T, file string) definition {
	t.Helper()
	data, err := os.ReadFile(directory + file)
	if err != nil {
		t.Fatal(err)
	}
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &external); err != nil {
		t.Fatal(err)
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&external)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&external.Spec)
	// An API server fills in the status before it validates.
	external.Status.StoredVersions = []string{external.Spec.Versions[0].Name}
	var crd apiextensions.CustomResourceDefinition
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&external, &crd, nil); err != nil {
		t.Fatal(err)
	}
	if errs := crdvalidation.ValidateCustomResourceDefinition(t.Context(), &crd); len(errs) > 0 {
		t.Fatal(errs)
	}
	d := definition{schema: crd.Spec.Validation.OpenAPIV3Schema}
	if d.structural, err = schema.NewStructural(d.schema); err != nil {
		t.Fatal(err)
	}
	d.rules = cel.NewValidator(d.structural, true, celconfig.PerCallLimit)
	if d.validator, _, err = validation.NewSchemaValidator(d.schema); err != nil {
		t.Fatal(err)
	}
	return d
}

// create does what an API server does with a new object, under kubectl's
// default --validate=strict.
func (d definition) create(ctx context.Context, t *testing.T, manifest []byte) []string {
	t.Helper()
	var object map[string]any
	if err := yaml.UnmarshalStrict(manifest, &object); err != nil {
		t.Fatal(err)
	}
	var got []string
	unknown := pruning.PruneWithOptions(object, d.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		got = append(got, path+": unknown field")
	}
	errs := validation.ValidateCustomResource(nil, object, d.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, d.structural, object)...)
	if !slices.ContainsFunc(errs, blocking) {
		fromRules, _ := d.rules.Validate(ctx, nil, d.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, fromRules...)
	}
	for _, err := range errs {
		got = append(got, strings.TrimPrefix(err.Error(), "."))
	}
	slices.Sort(got)
	return got
}

// blocking tells of the mistakes after which an API server asks no rules.
func blocking(err *field.Error) bool {
	return slices.Contains([]field.ErrorType{field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid}, err.Type)
}

func file(kind string) string {
	if kind == "ClusterConnector" {
		return "regcred.dev_clusterconnectors.yaml"
	}
	return "regcred.dev_connectors.yaml"
}

func TestEveryFieldIsDescribed(t *testing.T) {
	for _, name := range []string{"regcred.dev_connectors.yaml", "regcred.dev_clusterconnectors.yaml"} {
		t.Run(name, func(t *testing.T) {
			fields := 0
			var visit func(path string, s *apiextensions.JSONSchemaProps)
			visit = func(path string, s *apiextensions.JSONSchemaProps) {
				for key, property := range s.Properties {
					at := path + "." + key
					fields++
					if property.Description == "" && at != ".metadata" { // described by the API server
						t.Errorf("%s has no description", at)
					}
					visit(at, &property)
				}
				if s.Items != nil && s.Items.Schema != nil {
					visit(path+"[]", s.Items.Schema)
				}
			}
			visit("", load(t, name).schema)
			if fields < 50 {
				t.Errorf("only %d fields were seen", fields)
			}
		})
	}
}

func TestGoodManifests(t *testing.T) {
	var paths []string
	for _, pattern := range []string{"../../pkg/apis/v1alpha1/testdata/good/*.yaml", "../../pkg/issuers/*/example.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		t.Run(strings.TrimPrefix(path, "../../pkg/"), func(t *testing.T) {
			manifest, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var head struct{ Kind string }
			if err := yaml.Unmarshal(manifest, &head); err != nil {
				t.Fatal(err)
			}
			if errs := load(t, file(head.Kind)).create(t.Context(), t, manifest); len(errs) > 0 {
				t.Error(errs)
			}
		})
	}
}

const mirrorPattern = `^[hH][tT][tT][pP][sS]?://(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*)(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/([!-"$&->@-~]|%[0-9A-Fa-f]{2})*)?$`

// TestAgreement feeds the API server the specs of pkg/apis/v1alpha1's test of
// the same name.
func TestAgreement(t *testing.T) {
	data, err := os.ReadFile("../../pkg/apis/v1alpha1/testdata/agreement.yaml")
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
	servers := map[string]definition{"Connector": load(t, file("Connector")), "ClusterConnector": load(t, file("ClusterConnector"))}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if c.Kind == "" {
				c.Kind = "Connector"
			}
			manifest, err := yaml.Marshal(map[string]any{
				"apiVersion": "regcred.dev/v1alpha1", "kind": c.Kind, "metadata": map[string]any{"name": "x"}, "spec": c.Spec,
			})
			if err != nil {
				t.Fatal(err)
			}
			got := servers[c.Kind].create(t.Context(), t, manifest)
			if (len(got) > 0) != (c.Refused == "both") {
				t.Errorf("refused by %q, and the API server says %q", c.Refused, got)
			}
		})
	}
}

func TestBadManifests(t *testing.T) {
	tests := map[string]struct {
		spec string
		want []string
	}{
		"no issuer": {`{issuer: {}}`, []string{
			"spec.issuer: Invalid value: exactly one of the fields in [anonymous distributionToken dockerConfig env secret] must be set",
		}},
		"two issuers": {`{issuer: {secret: {name: x}, distributionToken: {output: registryToken}}}`, []string{
			"spec.issuer: Invalid value: exactly one of the fields in [anonymous distributionToken dockerConfig env secret] must be set",
		}},
		"unknown issuer": {`{issuer: {keychain: {}}}`, []string{
			"spec.issuer.keychain: unknown field",
			"spec.issuer: Invalid value: exactly one of the fields in [anonymous distributionToken dockerConfig env secret] must be set",
		}},
		"issuer missing": {`{address: a.example.com}`, []string{
			"spec.issuer: Required value",
		}},
		"address and registries": {
			`{address: a.example.com, registries: [{host: a.example.com}], issuer: {secret: {name: x}}}`, []string{
				"spec: Invalid value: at most one of the fields in [address registries] may be set",
			},
		},
		"one host twice": {`{registries: [{host: a}, {host: a}], issuer: {secret: {name: x}}}`, []string{
			`spec.registries[1]: Duplicate value: {"host":"a"}`,
		}},
		"two CAs": {`{registries: [{host: a, tls: {caBundle: x, caSecretRef: {name: x}}}], issuer: {secret: {name: x}}}`, []string{
			"spec.registries[0].tls: Invalid value: at most one of the fields in [caBundle caConfigMapRef caSecretRef] may be set",
		}},
		"certificate to deliver is missing": {
			`{registries: [{host: a, tls: {deliverClientCertificate: true}}], issuer: {secret: {name: x}}}`, []string{
				"spec.registries[0].tls: Invalid value: deliverClientCertificate needs clientCertificateSecretRef",
			},
		},
		"mirror": {`{registries: [{host: a, mirrors: [{url: "https://user:password@b"}]}], issuer: {secret: {name: x}}}`, []string{
			`spec.registries[0].mirrors[0].url: Invalid value: "https://user:password@b": spec.registries[0].mirrors[0].url in body should match '` + mirrorPattern + `'`,
		}},
		"empty peer": {`{access: [{}], issuer: {secret: {name: x}}}`, []string{
			"spec.access[0]: Invalid value: 0: spec.access[0] in body should have at least 1 properties",
		}},
		"empty lists in peer": {`{access: [{namespaces: [], serviceAccounts: []}], issuer: {secret: {name: x}}}`, []string{
			"spec.access[0].namespaces: Invalid value: 0: spec.access[0].namespaces in body should have at least 1 items",
			"spec.access[0].serviceAccounts: Invalid value: 0: spec.access[0].serviceAccounts in body should have at least 1 items",
		}},
		"empty selector": {`{access: [{namespaceSelector: {matchLabels: {}}}], issuer: {secret: {name: x}}}`, []string{
			"spec.access[0].namespaceSelector: Invalid value: an empty selector chooses everything: write matchLabels or matchExpressions",
		}},
		"words": {
			`{minimumScope: a, sharing: b, scopeEnforcement: c, delivery: d, scope: {actions: [e]}, issuer: {distributionToken: {output: registryToken}}}`, []string{
				`spec.delivery: Unsupported value: "d": supported values: "direct"`,
				`spec.minimumScope: Unsupported value: "a": supported values: "none", "identity", "project", "repository"`,
				`spec.scope.actions[0]: Unsupported value: "e": supported values: "pull", "push"`,
				`spec.scopeEnforcement: Unsupported value: "c": supported values: "Strict", "BestEffort"`,
				`spec.sharing: Unsupported value: "b": supported values: "Pod", "ServiceAccount", "Connector"`,
			},
		},
		"durations": {`{maxAge: 1 day, overlap: 0s, issuer: {distributionToken: {output: registryToken}}}`, []string{
			`spec.maxAge: Invalid value: "1 day": spec.maxAge in body should match '^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$'`,
			`spec.maxAge: Invalid value: "string": type conversion error from 'string' to 'google.protobuf.Duration' evaluating rule: must be longer than zero; leave it out for the default`,
			`spec.overlap: Invalid value: "0s": must be longer than zero; leave it out for the default`,
		}},
	}
	for name, tt := range tests {
		for _, kind := range []string{"Connector", "ClusterConnector"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				manifest := "apiVersion: regcred.dev/v1alpha1\nkind: " + kind + "\nmetadata: {name: x}\nspec: " + tt.spec
				got := load(t, file(kind)).create(t.Context(), t, []byte(manifest))
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
