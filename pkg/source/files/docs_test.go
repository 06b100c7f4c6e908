package files_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/apis/v1alpha1"
	"github.com/regcred/csi-driver-regcred/pkg/issuers/builtin"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^( *)```ya?ml\n(.*?)^ *```$")
	readKind  = regexp.MustCompile(`(?m)^kind: (Connector|ClusterConnector|Secret|ConfigMap|Namespace|ServiceAccount)$`)
)

// TestDocs holds every manifest that the documentation shows to be good as it
// stands.
func TestDocs(t *testing.T) {
	for pattern, shows := range map[string]bool{ // whether each such page must show a manifest
		"../../../README.md": true, "../../issuers/*/README.md": true, "../../../docs/*.md": false,
	} {
		pages, err := filepath.Glob(pattern)
		if err != nil || len(pages) == 0 {
			t.Fatal(pattern, err)
		}
		for _, page := range pages {
			t.Run(strings.TrimPrefix(page, "../../"), func(t *testing.T) {
				text, err := os.ReadFile(page)
				if err != nil {
					t.Fatal(err)
				}
				if shown := manifests(string(text)); len(shown) > 0 {
					check(t, shown)
				} else if shows {
					t.Error("it shows no manifest")
				}
			})
		}
	}
}

// manifests cuts the manifests that a Source reads out of a page.
func manifests(page string) []string {
	var all []string
	for _, block := range yamlBlock.FindAllStringSubmatch(page, -1) {
		for document := range strings.SplitSeq("\n"+block[2], "\n"+block[1]+"---\n") {
			document = strings.ReplaceAll(document, "\n"+block[1], "\n")
			if readKind.MatchString(document) {
				all = append(all, document)
			}
		}
	}
	return all
}

func check(t *testing.T, shown []string) {
	t.Helper()
	for _, manifest := range shown { // one page may show two ways to write one object
		path := filepath.Join(t.TempDir(), "shown.yaml")
		if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range files.Validate(v1alpha1.Options{Issuers: builtin.Definitions()}, path).Problems {
			t.Errorf("%s\n%s", strings.TrimPrefix(p.String(), path), manifest)
		}
	}
}

func TestManifestsOfAPage(t *testing.T) {
	page := "a\n```yaml\nkind: Connector\n---\nkind: Pod\n```\n1. b\n\n   ```yaml\n   kind: Secret\n   data: {}\n   ```\n```sh\nkind: Secret\n```\n"
	if got := manifests(page); len(got) != 2 || got[1] != "\nkind: Secret\ndata: {}\n" {
		t.Errorf("%q", got)
	}
}
