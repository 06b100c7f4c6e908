package driver

import (
	"context"
	"errors"
	"sync/atomic"

	"google.golang.org/grpc"
	"k8s.io/klog/v2"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// registrationSocketName is unique to the driver, as the kubelet asks.
const registrationSocketName = Name + "-reg.sock"

// registration tells the kubelet where the CSI socket is. The kubelet finds
// the registration socket by watching its directory, dials it, and tries
// again with back-off for as long as it is there.
type registration struct {
	registerapi.UnimplementedRegistrationServer
	endpoint string
	refusal  atomic.Pointer[string]
}

func (r *registration) server(calls grpc.UnaryServerInterceptor) *grpc.Server {
	server := newServer(calls)
	registerapi.RegisterRegistrationServer(server, r)
	return server
}

// GetInfo answers the kubelet's question who is there.
func (r *registration) GetInfo(context.Context, *registerapi.InfoRequest) (*registerapi.PluginInfo, error) {
	return &registerapi.PluginInfo{
		Type:              registerapi.CSIPlugin,
		Name:              Name,
		Endpoint:          r.endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus hears what the kubelet made of it.
func (r *registration) NotifyRegistrationStatus(ctx context.Context, status *registerapi.RegistrationStatus) (*registerapi.RegistrationStatusResponse, error) {
	logger := klog.FromContext(ctx)
	if status.GetPluginRegistered() {
		r.refusal.Store(nil)
		logger.Info("Registered with the kubelet", keyEndpoint, r.endpoint)
	} else {
		refusal := oneLine(status.GetError())
		r.refusal.Store(&refusal)
		logger.Error(errors.New(refusal), "The kubelet refused the registration", keyEndpoint, r.endpoint)
	}
	return &registerapi.RegistrationStatusResponse{}, nil
}

// ready is nil unless the kubelet refused.
func (r *registration) ready() error {
	if refusal := r.refusal.Load(); refusal != nil {
		return connector.Errorf(connector.ErrPrecondition, "the kubelet refused the registration of %s: %s", r.endpoint, *refusal)
	}
	return nil
}
