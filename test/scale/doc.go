// Package scale puts a whole node's load on one driver at once.
package scale
