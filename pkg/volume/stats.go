package volume

// Stats is what a node operator sees of one volume.
type Stats struct {
	Usage Usage
	// Abnormal: the content is no longer what it should be, for example
	// because a credential could not be renewed before it expired.
	Abnormal bool
	// Message says why in one line, without a secret; also set when all is well.
	Message string
}
