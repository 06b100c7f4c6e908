package command

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/regcred/csi-driver-regcred/pkg/driver"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
)

// nodeOptions are the flags of csi-driver node.
type nodeOptions struct {
	endpoint                string
	kubeletRegistrationPath string
	registrationDir         string
	kubeletDir              string
	stateDir                string
	runtimeDir              string
	nodeID                  string
	tokenSource             string
	requireUsePermission    bool
	clusterID               string
	linger                  time.Duration
	httpAddress             string
	auditLog                string
	verbosity               int

	manifests    manifests
	destinations destinations
	helper       helper
}

const (
	defaultKubeletDir = "/var/lib/kubelet"
	defaultLinger     = 2 * time.Minute
	stdoutAudit       = "-"
)

func (o *nodeOptions) addFlags(f *pflag.FlagSet) {
	plugin := filepath.Join(defaultKubeletDir, "plugins", driver.Name)
	f.StringVar(&o.endpoint, "endpoint", "unix://"+filepath.Join(plugin, "csi.sock"), "CSI socket; the kubelet dials this path on the host")
	f.StringVar(&o.kubeletRegistrationPath, "kubelet-registration-path", "", "socket path announced to the kubelet, when it differs from --endpoint")
	f.StringVar(&o.registrationDir, "registration-dir", "", "kubelet's plug-in registration directory; empty = do not register")
	f.StringVar(&o.kubeletDir, "kubelet-dir", defaultKubeletDir, "kubelet's root directory; targets elsewhere are refused")
	f.StringVar(&o.stateDir, "state-dir", "", "directory on disk for what must survive a reboot, without secrets (default <kubelet-dir>/plugins/"+driver.Name+"/state)")
	f.StringVar(&o.runtimeDir, "runtime-dir", "", "directory for the driver's private tmpfs, mounted there when missing (default <kubelet-dir>/plugins/"+driver.Name+"/run)")
	f.StringVar(&o.nodeID, "node-id", "", "name of this node (default $NODE_NAME, then the host name)")
	o.manifests.addConnectorsDir(f, "directory of Connector, ClusterConnector, Secret, ConfigMap, Namespace and ServiceAccount manifests, watched with its direct sub-directories (standalone mode; required)")
	f.StringVar(&o.tokenSource, "token-source", string(driver.TokensInVolumeContext), "where the kubelet sends ServiceAccount tokens: secrets or volume-context; the other is dropped unread")
	o.destinations.addFlags(f)
	f.BoolVar(&o.requireUsePermission, "require-use-permission", false, "ask the API server also for Connectors of the pod's own namespace; not with --connectors-dir")
	o.manifests.addClusterResourceNamespace(f)
	f.StringVar(&o.clusterID, "cluster-id", "standalone", "tells the objects that this cluster makes at providers from those of others")
	f.DurationVar(&o.linger, "linger", defaultLinger, "how long a credential without volumes waits for the next one")
	o.helper.addFlag(f)
	f.StringVar(&o.httpAddress, "http-address", ":9810", "address of /metrics, /healthz and /readyz; empty = none")
	f.StringVar(&o.auditLog, "audit-log", stdoutAudit, "file to which audit records are appended; - = stdout")
	f.IntVar(&o.verbosity, "v", 0, "log verbosity")
}

// complete fills in what depends on other flags.
func (o *nodeOptions) complete() error {
	o.nodeID = cmp.Or(o.nodeID, os.Getenv("NODE_NAME"))
	if o.nodeID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--node-id is not set and the host has no name: %w", err)
		}
		o.nodeID = host
	}
	plugin := filepath.Join(o.kubeletDir, "plugins", driver.Name)
	if o.stateDir == "" {
		o.stateDir = filepath.Join(plugin, "state")
	}
	if o.runtimeDir == "" {
		o.runtimeDir = filepath.Join(plugin, "run")
	}
	return nil
}

// check reports every mistake at once, each naming its flag.
func (o *nodeOptions) check() (issuers.Policy, error) {
	var m mistakes
	policy := o.destinations.policy(&m)
	o.manifests.check(&m)
	if o.requireUsePermission && o.manifests.connectorsDir != "" {
		m.flag("require-use-permission", errors.New("needs an API server to ask; it does not go with --connectors-dir"))
	}
	if o.linger < 0 {
		m.flag("linger", errors.New("must not be negative"))
	}
	server := o.server()
	if err := server.Validate(); err != nil {
		m = append(m, err)
	}
	return policy, m.err()
}

// server are the options that concern the kubelet and HTTP.
func (o *nodeOptions) server() driver.Options {
	return driver.Options{
		NodeID: o.nodeID, Endpoint: o.endpoint, KubeletDir: o.kubeletDir, RegistrationDir: o.registrationDir,
		KubeletRegistrationPath: o.kubeletRegistrationPath, HTTPAddress: o.httpAddress, TokenSource: driver.TokenSource(o.tokenSource),
	}
}
