// Package anonymous hands out nothing, for hosts that take nothing: an entry
// that says so, which keeps every other credential away from them.
package anonymous
