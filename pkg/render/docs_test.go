package render_test

import (
	"os"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// The page of all configurations has a row for each.
func TestDocumented(t *testing.T) {
	const page = "../../docs/configurations.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range render.Names() {
		if !strings.Contains(string(text), "\n| `"+name+"` ") {
			t.Errorf("%s has no row that begins with `%s`", page, name)
		}
	}
}
