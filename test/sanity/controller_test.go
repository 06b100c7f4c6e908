package sanity

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
)

// controller gives csi-test volumes to publish. regcred itself has no
// controller service: the kubelet makes an inline volume by naming it.
type controller struct {
	csi.UnimplementedControllerServer
	csi.UnimplementedIdentityServer
	volumes atomic.Int64
}

// startController serves a controller and returns its address.
func startController(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "controller.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c, server := &controller{}, grpc.NewServer()
	csi.RegisterControllerServer(server, c)
	csi.RegisterIdentityServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "unix://" + socket
}

func controllerCapability() *csi.PluginCapability {
	return &csi.PluginCapability{Type: &csi.PluginCapability_Service_{
		Service: &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE},
	}}
}

// GetPluginInfo names the controller.
func (c *controller) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: "sanity.regcred.dev"}, nil
}

// GetPluginCapabilities says what this is.
func (c *controller) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{controllerCapability()}}, nil
}

// Probe answers that all is well.
func (c *controller) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

// ControllerGetCapabilities lists none: there is nothing to attach or expand.
func (c *controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	return &csi.ControllerGetCapabilitiesResponse{}, nil
}

// CreateVolume makes up an id as the kubelet does for an inline volume.
func (c *controller) CreateVolume(context.Context, *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: fmt.Sprintf("csi-%064x", c.volumes.Add(1))}}, nil
}

// DeleteVolume forgets nothing, because nothing was remembered.
func (c *controller) DeleteVolume(context.Context, *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	return &csi.DeleteVolumeResponse{}, nil
}
