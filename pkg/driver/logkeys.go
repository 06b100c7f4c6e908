package driver

// The keys of structured logs.
const (
	keyAddress  = "address"
	keyCode     = "code"
	keyEndpoint = "endpoint"
	keyMethod   = "method"
	keyPod      = "pod"
	keyRequest  = "request"
	keySocket   = "socket"
	keyUID      = "uid"
	keyVolumeID = "volumeID"
)
