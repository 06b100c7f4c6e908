// Package abuse attacks the real driver over its own socket: it searches
// everything that the process wrote for secrets, and lets hostile tenants try
// to get each other's credentials. docs/testing.md tells what is covered.
package abuse
