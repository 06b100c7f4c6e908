package v1alpha1_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
)

// TestIssuerSourceIsBuiltin holds the list of issuers and the API together.
func TestIssuerSourceIsBuiltin(t *testing.T) {
	want := map[string]string{}
	for _, d := range builtin.Definitions() {
		want[d.Kind] = "*" + d.Config.String()
	}
	got := map[string]string{}
	for field := range reflect.TypeFor[v1alpha1.IssuerSource]().Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if options != "omitempty" {
			t.Errorf("member %s is not optional", name)
		}
		got[name] = field.Type.String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("builtin and IssuerSource differ: %s", diff)
	}
}
