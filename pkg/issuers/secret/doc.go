// Package secret hands out what Kubernetes Secrets hold: the logins of
// existing pull secrets, chosen by name or by label. It calls nobody; the
// Secret is the source of truth and its content is passed on as it stands.
package secret
