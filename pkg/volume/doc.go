// Package volume owns the life of a volume: publish, republish, unpublish,
// adoption after a restart, grants, and the re-rendering of content when a
// credential, Secret or Connector changes. It knows nothing of CSI, gRPC or
// Kubernetes; what it needs of them it asks through the small interfaces in
// ports.go.
package volume
