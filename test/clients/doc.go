// Package clients holds the end-to-end tests: a real registry, real clients
// and the driver's binary, each a process in a sandbox of its own.
package clients
