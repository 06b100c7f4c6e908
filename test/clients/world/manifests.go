package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Write puts a manifest into the driver's folder as `kubectl apply` would put
// it into a cluster: complete, in one step.
func (w *World) Write(name, manifest string) error {
	hidden := filepath.Join(w.dir, name+".new")
	if err := os.WriteFile(hidden, []byte(manifest), 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(w.manifests(), name+".yaml"))
}

// Remove takes a manifest away.
func (w *World) Remove(name string) error {
	return os.Remove(filepath.Join(w.manifests(), name+".yaml"))
}

// WriteCA gives a namespace the ConfigMap that connectors name.
func (w *World) WriteCA(namespace string) error {
	return w.Write("ca-"+namespace, fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: registry-ca, namespace: %s}
data:
  ca.crt: |
%s`, namespace, indent(w.CA(), "    ")))
}

// Login is the manifest of a Secret with a user and a password.
func Login(namespace, name, user, password string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: %s}
type: kubernetes.io/basic-auth
stringData: {username: %q, password: %q}
`, name, namespace, user, password)
}

// DockerConfig is the manifest of a Secret of `kubectl create secret
// docker-registry`, with one login for the world's registry.
func (w *World) DockerConfig(namespace, name, user, password string) (string, error) {
	return DockerConfigOf(namespace, name, map[string]any{
		w.Registry.Host(): map[string]string{"username": user, "password": password},
	})
}

// DockerConfigOf is the same with any entries, by their keys.
func DockerConfigOf(namespace, name string, auths map[string]any) (string, error) {
	config, err := json.Marshal(map[string]any{"auths": auths})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %s, namespace: %s}
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '%s'
`, name, namespace, config), nil
}

// Connector is the manifest of a Connector for the world's registry. The rest
// is the remainder of its spec in YAML, such as "issuer: {secret: {name: x}}".
func (w *World) Connector(namespace, name, rest string) string {
	return ConnectorFor(w.Registry.Host(), namespace, name, rest)
}

// ConnectorFor is the manifest of a Connector for a host whose certificate is
// of a world's authority.
func ConnectorFor(host, namespace, name, rest string) string {
	return fmt.Sprintf(`apiVersion: regcred.dev/v1alpha1
kind: Connector
metadata: {name: %s, namespace: %s}
spec:
  registries:
  - host: %s
    tls: {caConfigMapRef: {name: registry-ca, key: ca.crt}}
%s`, name, namespace, host, indent([]byte(rest), "  "))
}

func indent(text []byte, by string) string {
	var out strings.Builder
	for line := range bytes.Lines(append(bytes.TrimRight(text, "\n"), '\n')) {
		out.WriteString(by)
		out.Write(line)
	}
	return out.String()
}
