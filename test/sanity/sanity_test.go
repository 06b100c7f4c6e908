package sanity

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	csitest "github.com/kubernetes-csi/csi-test/v5/pkg/sanity"
	"google.golang.org/grpc"

	"github.com/regcred/csi-driver-regcred/internal/mounttest"
)

func TestMain(m *testing.M) { os.Exit(mounttest.Main(m)) }

// controllerSpecs are about a controller service. The one here belongs to the
// harness, so its specs would prove nothing.
const controllerSpecs = `\[(Group)?Controller (Server|VolumeGroupSnapshots)\]`

// optional lists the node specs that do not apply, and why csi-test says so.
// A spec that is skipped for another reason fails the test.
func optional() map[string]string {
	const nothingIsStaged, noSize = "NodeStageVolume not supported", "NodeExpandVolume not supported"
	return map[string]string{
		"Node Service NodeStageVolume should fail when no volume id is provided":                                                                                                                   nothingIsStaged,
		"Node Service NodeStageVolume should fail when no staging target path is provided":                                                                                                         nothingIsStaged,
		"Node Service NodeStageVolume should fail when no volume capability is provided":                                                                                                           nothingIsStaged,
		"Node Service NodeUnstageVolume should fail when no volume id is provided":                                                                                                                 "NodeUnstageVolume not supported",
		"Node Service NodeUnstageVolume should fail when no staging target path is provided":                                                                                                       "NodeUnstageVolume not supported",
		"Node Service NodeExpandVolume should fail when no volume id is provided":                                                                                                                  noSize,
		"Node Service NodeExpandVolume should fail when no volume path is provided":                                                                                                                noSize,
		"Node Service NodeExpandVolume should fail when volume is not found":                                                                                                                       noSize,
		"Node Service NodeExpandVolume should work if node-expand is called after node-publish":                                                                                                    noSize,
		"Node Service NodeGetStorageHealth should return appropriate response":                                                                                                                     "NodeGetStorageHealth not supported",
		"Node Service NodePublishVolume with single node multi writer capability should fail when volume with single node single writer access mode is already mounted at a different target path": "Service does not have single node multi writer capability",
	}
}

func TestSanity(t *testing.T) {
	d := startDriver(t)
	k := &kubelet{}
	config := csitest.NewTestConfig()
	config.Address = d.endpoint()
	config.DialOptions = append(config.DialOptions, grpc.WithUnaryInterceptor(k.intercept))
	config.ControllerAddress = startController(t)
	config.TargetPath = filepath.Join(d.kubeletDir, "pods", "sanity")
	config.StagingPath = filepath.Join(d.kubeletDir, "staging")

	report := filepath.Join(t.TempDir(), "report.json")
	setFlags(t, map[string]string{"ginkgo.json-report": report, "ginkgo.skip": controllerSpecs, "ginkgo.no-color": "true"})
	csitest.Test(t, config)

	passed, skipped := readReport(t, report)
	if diff := cmp.Diff(optional(), skipped); diff != "" {
		t.Errorf("skipped specs, -want +got:\n%s", diff)
	}
	for _, lifeCycle := range []string{
		"Node Service should work",
		"Node Service should be idempotent",
		"Node Service NodeUnpublishVolume should remove target path",
		"Node Service NodeGetVolumeStats should fail when volume does not exist on the specified path",
		"Node Service NodeGetVolumeHealth should return health for a valid volume",
	} {
		if !slices.Contains(passed, lifeCycle) {
			t.Errorf("%q did not run", lifeCycle)
		}
	}
	t.Logf("%d specs passed, %d do not apply; published %d times, looked into %d volumes", len(passed), len(skipped), k.publishes, k.inspected)
	// Each of the specs above publishes one volume, the idempotent one ten times.
	if k.publishes != 14 || k.inspected != 14 {
		t.Errorf("the specs published %d times and %d volumes had the credential, want 14", k.publishes, k.inspected)
	}
	d.stop(t)
	d.leftNothing(t)
}

// setFlags sets flags of the test binary, the only way to configure the
// ginkgo that csi-test brings.
func setFlags(t *testing.T, values map[string]string) {
	t.Helper()
	for name, value := range values {
		f := flag.Lookup(name)
		if f == nil {
			t.Fatalf("there is no flag %s", name)
		}
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
	}
}

// readReport returns the specs that passed, and those that were skipped by
// themselves with the reason. Specs that were filtered out are in neither.
func readReport(t *testing.T, path string) (passed []string, skipped map[string]string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts []string
			LeafNodeType            string
			LeafNodeText            string
			State                   string
			Failure                 struct{ Message string }
		}
	}
	if err := json.Unmarshal(data, &suites); err != nil {
		t.Fatal(err)
	}
	skipped = map[string]string{}
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			name := strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " ")
			switch {
			case spec.LeafNodeType != "It":
			case spec.State == "passed":
				passed = append(passed, name)
			case spec.State == "skipped" && spec.Failure.Message != "":
				skipped[name] = spec.Failure.Message
			}
		}
	}
	if len(passed) == 0 {
		t.Errorf("nothing ran: %v", slices.Sorted(maps.Keys(skipped)))
	}
	return passed, skipped
}
