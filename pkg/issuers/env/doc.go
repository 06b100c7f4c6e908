// Package env hands out logins for many registries at once, listed in the
// Connector or kept in a Secret under the names of imgpkg's environment
// variables. Hosts and paths may be patterns; which entry serves an image is
// decided by the rules that imgpkg documents.
package env
