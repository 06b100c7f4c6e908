// Package deploy holds the manifests that an installation consists of.
package deploy

import _ "embed" // for the manifests

//go:embed crds/regcred.dev_connectors.yaml
var connectorCRD string

// ConnectorCRD is the CustomResourceDefinition of Connectors, generated from
// pkg/apis. A ClusterConnector has the same spec.
func ConnectorCRD() string { return connectorCRD }
