package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

func TestEach(t *testing.T) {
	one := connector.Errorf(connector.ErrNotFound, "one")
	two := fmt.Errorf("two: %w", connector.ErrInvalid)
	three := errors.New("three")
	if got := each(errors.Join(one, errors.Join(two, three))); !slices.Equal(got, []error{one, two, three}) {
		t.Error(got)
	}
	if got := each(one); !slices.Equal(got, []error{one}) || each(nil) != nil {
		t.Error(got)
	}
}

func TestWhereClusterConnectorsLook(t *testing.T) {
	dir := t.TempDir()
	manifest := `
apiVersion: regcred.dev/v1alpha1
kind: ClusterConnector
metadata: {name: hub}
spec: {address: docker.io, access: [{namespaces: [ci]}], issuer: {secret: {name: hub}}}
`
	if err := os.WriteFile(filepath.Join(dir, "hub.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, program(), "render", "--connectors-dir", dir, "--connectors", "cluster:hub", "--namespace", "ci",
		"--cluster-resource-namespace", "infra", "--out", filepath.Join(dir, "out"))
	const want = "csi-driver: connector cluster:hub: obtaining a credential for ServiceAccount ci/default: " +
		"Secret \"hub\" does not exist in the Connector's namespace, which is infra for a ClusterConnector (--cluster-resource-namespace)\n"
	if got.code != exitFailed || got.stderr != want {
		t.Errorf("%+v", got)
	}
}
