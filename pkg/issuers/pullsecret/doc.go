// Package pullsecret reads the Kubernetes objects in which registry logins are
// kept, and puts what several of them hold together. It is pure and strict:
// what a client would silently ignore is an error here that names object, host
// and mistake, never a value.
package pullsecret
