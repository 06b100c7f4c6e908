package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPage holds docs/cli.md to what the commands print.
func TestPage(t *testing.T) {
	text, err := os.ReadFile("../../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, manifests, _ := strings.Cut(page, "```yaml\n")
	manifests, _, _ = strings.Cut(manifests, "```\n")
	base := t.TempDir()
	t.Chdir(base)
	broken := strings.NewReplacer(
		"harbor.example.com\n", "harbor.example.com/x\n", "name: old-login}\n---", "nmae: old-login}\n---",
	).Replace(manifests)
	for dir, content := range map[string]string{"manifests": manifests, "broken": broken} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "ci.yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{
		"validate manifests",
		"validate broken",
		"render --connectors-dir manifests --connectors corp,old --namespace ci --configuration docker-config,dockerd --explain --out out",
		"issuers anonymous",
	} {
		got := run(t, program(), strings.Fields(args)...)
		if got.stdout == "" || !strings.Contains(page, "\n"+got.stdout) {
			t.Errorf("docs/cli.md does not show what %q prints:\n%s%s", args, got.stdout, got.stderr)
		}
	}
}
