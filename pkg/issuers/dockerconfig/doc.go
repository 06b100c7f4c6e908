// Package dockerconfig hands out the logins of a docker configuration
// (config.json) that is kept under a key of a Secret or ConfigMap: all of them
// or those for chosen hosts, and nothing else of the file.
package dockerconfig
