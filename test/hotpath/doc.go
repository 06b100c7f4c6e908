// Package hotpath watches the system calls of a running driver while volumes
// are published, republished, rewritten and unpublished: no process is made,
// the mount table is not read, and each step mounts no more than it must.
package hotpath
