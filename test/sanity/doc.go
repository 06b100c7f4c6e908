// Package sanity runs csi-test's sanity suite against the driver's binary:
// files as the source of Connectors, a real issuer, real tmpfs mounts in a
// mount namespace of their own. What a cluster has beside a node driver, a
// controller service and a kubelet, the harness plays.
package sanity
