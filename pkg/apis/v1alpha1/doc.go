// Package v1alpha1 is the API that platform teams write: Connector and
// ClusterConnector of the group regcred.dev. It owns their Go types, from
// which the CustomResourceDefinitions are generated, their decoding, and
// their conversion into the vocabulary of pkg/connector, where every mistake
// is found. It does not know how manifests arrive: sources do that.
//
// Nothing here needs DeepCopy methods: no client is generated, and what comes
// out of a conversion is shared read-only.
//
// After a change of a type, generate the CustomResourceDefinitions anew, from
// the root of the repository:
//
//	go tool -modfile=tools/go.mod controller-gen crd paths=./pkg/apis/... output:crd:dir=deploy/crds
//
// +groupName=regcred.dev
// +versionName=v1alpha1
package v1alpha1
