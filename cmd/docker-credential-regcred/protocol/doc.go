// Package protocol is what a credential helper says: one question on standard
// input, one answer on standard output, as docker-credential-helpers defines
// it (github.com/docker/docker-credential-helpers, package credentials). It
// knows the files that pkg/render writes for docker-helper and no system call:
// nothing can be stored or erased, because there is nothing to write with.
//
//	.answers/.urls    the registries, as config.json has them, one a line
//	.answers/HOST     user and secret, one a line each; absent when emptied
//
// It is made without fmt and encoding/json: each node holds the program in
// memory, and they would add a third to it.
package protocol
