// Package crash kills the driver wherever it can be killed and starts it again
// in worlds that are worse than the one it left: its tests want to find no
// mount, directory, record, descriptor or object at a provider too many, and
// pods that noticed nothing.
package crash
