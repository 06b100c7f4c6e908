// Package deptest keeps the floors of the architecture for what a package
// imports through others; the linter's depguard sees only direct imports.
package deptest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/regcred/csi-driver-regcred"

// Rule forbids packages and says why. Packages are written as for the go
// command: path is one package, path/... also all below it.
type Rule struct {
	Forbid []string
	Except []string
	// Through are importers that may use what is forbidden, because of what
	// else they bring.
	Through []string
	Reason  string
}

// Floors forbids every package of this repository but those named, relative
// to its root: imports point down, and packages on one floor do not know each
// other.
func Floors(allowed ...string) Rule {
	rule := Rule{Forbid: []string{module + "/..."}, Reason: "imports point down only, see docs/architecture.md"}
	for _, path := range allowed {
		rule.Except = append(rule.Except, module+"/"+path)
	}
	return rule
}

// NoPrograms forbids executing programs: forks cost milliseconds, make
// concurrent remounts fail, and the image has nothing to execute. mount-utils
// is there for its parser of mountinfo; the linter forbids its mount.New.
func NoPrograms() Rule {
	return Rule{
		Forbid:  []string{"os/exec"},
		Through: []string{"k8s.io/mount-utils", "k8s.io/utils/exec"},
		Reason:  "the product executes no programs",
	}
}

// NoAPIServer forbids the Kubernetes libraries except those named.
func NoAPIServer(allowed ...string) Rule {
	return Rule{Forbid: []string{"k8s.io/...", "sigs.k8s.io/..."}, Except: allowed, Reason: "only pkg/source/kube talks to the API server"}
}

// NoCSI forbids gRPC and CSI.
func NoCSI() Rule {
	return Rule{
		Forbid: []string{"google.golang.org/grpc/...", "github.com/container-storage-interface/..."},
		Reason: "gRPC and CSI belong to pkg/driver",
	}
}

// Check fails the test when the package of the test's directory depends, by
// whatever way, on a package that a rule forbids. Imports of tests are free.
func Check(t *testing.T, rules ...Rule) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, ".")
	var stderr strings.Builder
	list.Stderr = &stderr
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for _, found := range violations(string(output), rules) {
		t.Error(found)
	}
}

// violations reads one line per package, its imports behind it.
func violations(list string, rules []Rule) []string {
	var found []string
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		importer := fields[0]
		for _, imported := range fields[1:] {
			for _, rule := range rules {
				if matches(imported, rule.Forbid) && !matches(imported, rule.Except) && !matches(importer, rule.Through) {
					found = append(found, importer+" imports "+imported+": "+rule.Reason)
				}
			}
		}
	}
	return found
}

func matches(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, ok := strings.CutSuffix(pattern, "/...")
		return path == tree || ok && strings.HasPrefix(path, tree+"/")
	})
}
