// Package files is the source of Connectors, Secrets, ConfigMaps and
// namespace labels for standalone mode: a watched directory of Kubernetes
// manifests instead of an API server. It owns what "in force" means when
// files change under it: a broken manifest is reported and never takes a good
// one down. It knows nothing of volumes and credentials.
//
// The files *.yaml, *.yml and *.json of the directory and of its
// sub-directories (one level) are read; deeper directories are reported. What
// begins with a dot is not looked at, so that a mounted ConfigMap or Secret of Kubernetes, whose ..data link is
// switched, counts once. Files may be links.
package files
