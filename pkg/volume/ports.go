package volume

import (
	"context"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/render"
)

// Connectors is the watch cache of what platform teams declared. Its methods
// answer from memory.
type Connectors interface {
	// Connector returns the valid generation in force. The error wraps
	// connector.ErrNotFound, or connector.ErrPrecondition when the manifest
	// exists but never was valid.
	Connector(ref connector.Ref) (*connector.Connector, error)
	// NamespaceLabels returns the labels of a namespace, nil when unknown.
	NamespaceLabels(namespace string) map[string]string
}

// Authorizer answers whether a subject may use a Connector (its user's side;
// the owner's consent is the Connector's own access list).
type Authorizer interface {
	// Authorize returns nil, or an error that wraps connector.ErrDenied for an
	// explicit denial. Any other error means that nobody could tell.
	Authorize(ctx context.Context, subject connector.Subject, ref connector.Ref) error
}

// Objects reads the CA bundles and client certificates that registries name.
type Objects interface {
	// Object returns one object; the error wraps connector.ErrNotFound.
	Object(ctx context.Context, kind connector.ObjectKind, namespace, name string) (*connector.Object, error)
}

// Leases gives credentials, shared and kept fresh.
type Leases interface {
	Acquire(ctx context.Context, req credentials.Request) (*credentials.Lease, error)
	// AtHand gives what Acquire would give without waiting for anybody, or nil.
	AtHand(req credentials.Request) *credentials.Lease
	// Audiences returns the token audiences that a Connector's issuer asks for.
	Audiences(c *connector.Connector) ([]string, error)
	// Restore re-attaches a volume to the credential that its record names,
	// after a restart, without any call. False when it is gone.
	Restore(key, holder string, identity issuers.Identity) (*credentials.Lease, bool)
}

// Disk shows files to a pod. Each method is safe for concurrent use on
// different volumes; the Manager never calls two at once for one volume.
type Disk interface {
	// Publish makes a complete read-only volume appear at the target in one
	// step, creating the directory when it is missing. A mount of this volume
	// that is there already is brought to files instead of being covered. On
	// error nothing is left: no mount, and no directory that Publish made.
	Publish(place Place, files render.Files) error
	// Published reports, from the kernel alone, whether this volume is at its
	// target now. It costs microseconds and reads no mount table.
	Published(place Place) (bool, error)
	// Update switches a published volume to files in one step and reports
	// whether anything differed; equal content is not written. Superseded
	// files stay for readers in mid-file until Sweep, unless purge asks to
	// cut their secrets at once.
	Update(place Place, files render.Files, purge bool) (changed bool, err error)
	// Sweep truncates and removes what Update superseded until before, and
	// tells since when the oldest of the rest is superseded; zero when there is
	// none.
	Sweep(place Place, before time.Time) (left time.Time, err error)
	// Remove cuts the secrets, unmounts and removes the target directory.
	// What is gone already counts as removed. Busy reports that the mount had
	// to be detached from under a process.
	Remove(place Place) (busy bool, err error)
	// RemoveOrphan is Remove for a volume that nobody knows any more.
	RemoveOrphan(target string) (busy bool, err error)
	// Usage returns what statfs says of a published volume.
	Usage(place Place) (Usage, error)
	// Survey lists every mount of this driver below the kubelet directory. It
	// reads the mount table and is for recovery only.
	Survey() ([]Survivor, error)
}

// Usage is the space and inodes of a volume.
type Usage struct {
	TotalBytes, UsedBytes, FreeBytes    int64
	TotalInodes, UsedInodes, FreeInodes int64
}

// Survivor is a mount of this driver found by Survey.
type Survivor struct {
	Target string
	// ID is the volume id from the kubelet's vol_data.json when its hash
	// equals the marker's, else empty.
	ID string
	// PodGone: the pod's directory holds nothing but remains of this volume.
	PodGone bool
}

// Records stores small documents by key; a document is whole or absent.
type Records interface {
	Put(key string, document []byte) error
	Delete(key string) error // absent is success
	All() (map[string][]byte, error)
}

// Events tells the pod's owner what happened to a volume.
type Events interface {
	// Event is rate-limited by the receiver; reason is CamelCase.
	Event(subject connector.Subject, warning bool, reason, message string)
}
