// Package pullsecret reads the Kubernetes Secrets in which registry logins
// are kept. It is pure and strict: what a client would silently ignore is an
// error here that names Secret, host and mistake, never a value.
package pullsecret
