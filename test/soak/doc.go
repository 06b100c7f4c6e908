// Package soak runs the real driver for minutes under churn, rotation,
// changes, faults and kills, and then holds memory, descriptors, goroutines,
// provider calls and metrics against what they should be. REGCRED_SOAK=10m
// makes it longer; docs/testing.md has the figures.
package soak
