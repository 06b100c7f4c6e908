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
	keyTarget   = "target"
	keyUID      = "uid"
	keyVolumeID = "volumeID"
)
