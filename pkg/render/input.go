package render

import (
	"time"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// Input is everything that one volume's files are made from.
type Input struct {
	// Configurations are the names to render, in order, aliases resolved.
	Configurations []string
	// Exclude lists files that the pod does not want ("!config.json").
	Exclude []string
	// Sources are the volume's connectors in order: the first that claims a
	// host wins it.
	Sources []Source
	// MountPath is where the container sees the volume; empty = the default
	// of the configuration that needs it.
	MountPath string
}

// Source is what one connector gives to the volume.
type Source struct {
	Connector connector.Ref
	// Written is the connector as the pod wrote it; `fields` names its folder after it.
	Written string
	Issuer  string // kind
	// Asked is what the Connector and the pod narrow the credential to, also
	// where the issuer cannot: by it a client chooses among several.
	Asked connector.Scope
	// Registries are the hosts of the Connector with their trust resolved.
	Registries []Registry
	// Credential is nil when the entries are emptied: expired, withdrawn or gone.
	Credential *connector.Credential
	RenewAt    time.Time // zero = not by time
	// Emptied says why Credential is nil.
	Emptied string
	// Claims are the hosts that the emptied credential served, globs among
	// them: they stay claimed, so that no later connector's credential takes
	// their place. Empty = unknown; then all hosts of Registries stay claimed.
	Claims []string
}

// Registry is one host with its trust resolved.
type Registry struct {
	Host               string // canonical host[:port]; connector.DockerHub for Docker Hub
	PlainHTTP          bool
	InsecureSkipVerify bool
	CA                 []byte // PEM, CERTIFICATE blocks only; nil = public trust
	ClientCertificate  []byte // PEM; only when the Connector delivers it
	ClientKey          connector.Secret
	Mirrors            []string // URLs
}
