// Package model drives the core with random steps and compares it, after each
// step, with a small reference model.
//
// Under test is what cmd/csi-driver wires below the socket: volume.Manager,
// credentials.Manager, the renderers, state.Store, and tmpfs.Disk on real
// mounts in a mount namespace of its own. Around it stand a kubelet, a source
// of Connectors and Secrets, an Authorizer and providers with books, all under
// the control of the steps. Time is synthetic (testing/synctest), so that hours
// of lives, overlaps and back-off pass in milliseconds.
//
// A run is a script: lines of text, made from a seed, that mean the same
// whatever lines are left out. A failing script is therefore shrunk by leaving
// lines out, written down, and can be replayed, read, edited and committed. That
// is also why this is no rapid.Check: its failures are bit streams that mean
// something else after every change of the generator, and it takes a failure
// that depends on the order of goroutines for a flaky test. See
// docs/testing.md for the variables and for how to read a failure.
package model
