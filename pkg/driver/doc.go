// Package driver is the CSI face of regcred: the Identity and Node services on
// a unix socket, the registration with the kubelet, and the HTTP server for
// metrics and health. It turns a request into a volume.Spec, or an error into
// a gRPC code, and knows nothing else of volumes: no connectors, no
// credentials, no mounts. CSI and gRPC appear in no other package.
package driver
