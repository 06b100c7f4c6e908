// Package connector is the vocabulary of regcred: what a Connector, a
// registry, a subject, a scope, a secret and a credential are, and how an
// entry is matched to a registry host. Every other package speaks in these
// words, so this one imports none of them and nothing of Kubernetes, CSI or
// gRPC. It owns no goroutine and does no I/O.
package connector
