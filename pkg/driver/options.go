package driver

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Name is the CSI driver's name, and the first of its token audiences.
const Name = "csi.regcred.dev"

// Volumes does the work behind the Node service. Errors wrap the sentinels of
// package connector or are *issuers.Error; a context's error means that the
// caller's time is up.
type Volumes interface {
	// Publish makes the volume appear, or keeps it as it is when it is there.
	Publish(ctx context.Context, spec volume.Spec) error
	// Unpublish removes it; what is gone already is success.
	Unpublish(ctx context.Context, id, target string) error
	// Stats describes a published volume. An empty path means wherever it is.
	// The error wraps connector.ErrNotFound when it is not at the path.
	Stats(ctx context.Context, id, path string) (volume.Stats, error)
}

// TokenSource is the channel in which the kubelet sends ServiceAccount tokens.
type TokenSource string

// The token channels. The kubelet's choice is
// CSIDriver.spec.serviceAccountTokenInSecrets.
const (
	TokensInSecrets       TokenSource = "secrets"
	TokensInVolumeContext TokenSource = "volume-context"
)

// Options are what a Server is made of. Volumes, Gatherer, Endpoint,
// KubeletDir, NodeID and TokenSource are required.
type Options struct {
	Volumes  Volumes
	Gatherer prometheus.Gatherer
	// Ready lists conditions beside the server's own; each returns nil, or
	// why the driver cannot do its work now.
	Ready []func() error

	// Crowded, when set, is told when many calls are under way, and when that
	// is over.
	Crowded func(bool)

	Version string
	NodeID  string
	// Endpoint is the CSI socket, as a path or unix:// URL.
	Endpoint string
	// KubeletDir is the directory that every target must lie below.
	KubeletDir string
	// RegistrationDir is where the kubelet looks for plug-ins; empty = do not
	// register.
	RegistrationDir string
	// KubeletRegistrationPath is the endpoint that is announced to the
	// kubelet; empty = the path of Endpoint.
	KubeletRegistrationPath string
	// HTTPAddress serves metrics and health; empty = no HTTP.
	HTTPAddress string
	TokenSource TokenSource
	// RequirePodToken refuses a publish without a pod-bound token for the
	// audience Name. Without it, a token is checked only when one is sent.
	RequirePodToken bool
}

const (
	maxSocketPath = 107 // sun_path of unix(7) without its final zero
	maxNodeID     = 256 // CSI specification, NodeGetInfo
)

// check reports every mistake.
func (o *Options) check() error {
	var missing []error
	if o.Volumes == nil {
		missing = append(missing, connector.Errorf(connector.ErrInvalid, "Options.Volumes is missing"))
	}
	if o.Gatherer == nil {
		missing = append(missing, connector.Errorf(connector.ErrInvalid, "Options.Gatherer is missing"))
	}
	return errors.Join(append(missing, o.Validate())...)
}

// Validate reports every mistake in what flags of csi-driver node say, naming
// the flag.
func (o *Options) Validate() error {
	var mistakes []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			mistakes = append(mistakes, connector.Errorf(connector.ErrInvalid, format, args...))
		}
	}
	clean := func(path string) bool { return filepath.IsAbs(path) && filepath.Clean(path) == path }
	socket := SocketPath(o.Endpoint)
	require(clean(socket), "--endpoint %q: write unix:// and an absolute, clean path", o.Endpoint)
	require(len(socket) <= maxSocketPath, "--endpoint %q: the path of a socket has at most %d bytes", o.Endpoint, maxSocketPath)
	require(clean(o.KubeletDir) && o.KubeletDir != "/", "--kubelet-dir %q: write the absolute, clean path of the kubelet's directory", o.KubeletDir)
	require(o.NodeID != "" && len(o.NodeID) <= maxNodeID, "--node-id %q: write 1 to %d bytes, normally the node's name", o.NodeID, maxNodeID)
	require(o.RegistrationDir == "" || clean(o.RegistrationDir), "--registration-dir %q: write an absolute, clean path, or nothing", o.RegistrationDir)
	require(len(o.registrationSocket()) <= maxSocketPath, "--registration-dir %q: the path of a socket has at most %d bytes, %s included", o.RegistrationDir, maxSocketPath, registrationSocketName)
	require(validAddress(o.HTTPAddress), "--http-address %q: write host:port, :port, or nothing", o.HTTPAddress)
	require(o.KubeletRegistrationPath == "" || clean(o.KubeletRegistrationPath), "--kubelet-registration-path %q: write an absolute, clean path, or nothing", o.KubeletRegistrationPath)
	require(o.TokenSource == TokensInSecrets || o.TokenSource == TokensInVolumeContext, "--token-source %q: write %s or %s", o.TokenSource, TokensInSecrets, TokensInVolumeContext)
	return errors.Join(mistakes...)
}

func validAddress(address string) bool {
	if address == "" {
		return true
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// announced is the endpoint that the kubelet is told to dial.
func (o *Options) announced() string {
	if o.KubeletRegistrationPath != "" {
		return o.KubeletRegistrationPath
	}
	return SocketPath(o.Endpoint)
}

func (o *Options) registrationSocket() string {
	if o.RegistrationDir == "" {
		return ""
	}
	return filepath.Join(o.RegistrationDir, registrationSocketName)
}

// SocketPath takes the scheme off an endpoint.
func SocketPath(endpoint string) string {
	return strings.TrimPrefix(strings.TrimPrefix(endpoint, "unix:"), "//")
}
