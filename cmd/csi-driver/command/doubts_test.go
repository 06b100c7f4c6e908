package command

import (
	"os"
	"path/filepath"
	"testing"
)

func TestEveryMissingSecretIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "e.yaml")
	manifest := `
apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: e, namespace: ci}
spec: {address: a.io, issuer: {env: {entries: [{match: a.io, registryTokenRef: {name: one}}, {match: b.io, registryTokenRef: {name: two}}]}}}
`
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "warning: " + file + ":2: Connector ci/e: spec.issuer.env: Secret \"one\" does not exist in the Connector's namespace; " +
		"Secret \"two\" does not exist in the Connector's namespace; it may be in files that were not read\n1 object in 1 file, no mistakes, 1 warning\n"
	if got := run(t, program(), "validate", file); got != (outcome{exitGood, want, ""}) {
		t.Errorf("%+v", got)
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
