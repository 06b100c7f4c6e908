// Package formats reads every golden file of pkg/render with the code of the
// program that consumes it and compares what that program understands with
// what the case means. It is a module of its own, because the readers belong
// to no driver.
//
// Three readers stand in for programs that are too heavy to build here:
// dockerd's rules are those that 20.10 documents for daemon.json, and PEM
// frames and plain fields are read with the standard library.
package formats
