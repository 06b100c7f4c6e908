// Package buildx reads the golden volumes of configuration buildx-scoped with
// buildx's own code. It is a module of its own because that code needs versions
// of others' that the readers in test/formats do not stand.
package buildx
