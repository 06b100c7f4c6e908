// Package render turns credentials and registries into the files that
// registry clients read. It is pure: the same input gives the same bytes, and
// nothing is read, logged or remembered. One file per configuration; what
// each client really does with the bytes is said there.
package render
