package volume

import (
	"io/fs"
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// Spec is one publish request, checked.
type Spec struct {
	Place      Place
	Subject    connector.Subject
	Attributes Attributes
	// Tokens are the pod's ServiceAccount tokens by audience. They are kept
	// in memory only.
	Tokens map[string]issuers.Token
}

// Place is where a volume appears and who may read it.
type Place struct {
	ID       string      `json:"id"`     // CSI volume id
	Target   string      `json:"target"` // absolute path of the mount point
	FileMode fs.FileMode `json:"fileMode"`
	GID      int         `json:"gid"` // owning group of every file; 0 = root
}

// Attributes are a pod's volume attributes, parsed.
type Attributes struct {
	Uses           []Use    `json:"uses"`              // in order of precedence
	Configurations []string `json:"configurations"`    // canonical names
	Exclude        []string `json:"exclude,omitempty"` // files left out
	// TTL is the wished life of a credential; zero = the provider's default.
	TTL time.Duration `json:"ttl,omitempty"`
	// MinimumLife is the least life left at start; zero = half of the life.
	MinimumLife time.Duration `json:"minimumLife,omitempty"`
	// MountPath is where the container sees the volume; empty = the default
	// of each configuration.
	MountPath string `json:"mountPath,omitempty"`
	// FileMode is zero when the pod names none.
	FileMode fs.FileMode `json:"fileMode,omitempty"`
}

// Use is one connector as the pod names it, with its narrowing wish.
type Use struct {
	Written string          `json:"written"`
	Ref     connector.Ref   `json:"ref"`
	Want    connector.Scope `json:"want"`
}
