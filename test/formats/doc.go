// Package formats reads every golden file of pkg/render with the code of the
// program that consumes it and compares what that program understands with
// what the case means. Of files in which entries stand beside each other it
// also renders random ones. It is a module of its own, because the readers
// belong to no driver.
//
// Where a program's code is not enough, its rules stand beside it: of daemon.json
// those that 20.10 documents, of hosts.toml the keys that containerd 1.6 knows.
// PEM frames and plain fields are read with the standard library.
package formats
