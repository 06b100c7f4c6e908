// Package credentials owns the life of a credential: who shares it, when it
// is renewed, how long a superseded one stays valid, and that what was made at
// a provider is deleted there in the end. It knows nothing of volumes, files,
// CSI or Kubernetes.
package credentials
