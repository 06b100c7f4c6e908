package sanity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// kubelet stands between csi-test and the driver, adds what the kubelet adds
// to a pod's inline volume, and looks into every volume that was published.
type kubelet struct {
	publishes int // that succeeded
	inspected int // with the credential in them
}

// podInfo is what podInfoOnMount: true gives a driver.
func podInfo() map[string]string {
	return map[string]string{
		"csi.storage.k8s.io/ephemeral":           "true",
		"csi.storage.k8s.io/pod.name":            "sanity",
		"csi.storage.k8s.io/pod.namespace":       "ci",
		"csi.storage.k8s.io/pod.uid":             "2d0e3f9c-56a1-4c12-9d0a-6f4c1d3a7b55",
		"csi.storage.k8s.io/serviceAccount.name": "builder",
	}
}

// attributes are what the pod's author wrote.
func attributes() map[string]string {
	return map[string]string{"connectors": "harbor"}
}

// intercept is a grpc.UnaryClientInterceptor.
func (k *kubelet) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	publish, ok := req.(*csi.NodePublishVolumeRequest)
	if !ok {
		err := call(ctx, method, req, reply, conn, opts...)
		announceController(reply)
		return err
	}
	publish = proto.CloneOf(publish)
	publish.Readonly = true
	publish.VolumeContext = podInfo()
	maps.Copy(publish.VolumeContext, attributes())
	if err := call(ctx, method, publish, reply, conn, opts...); err != nil {
		return err
	}
	k.publishes++
	if err := holdsCredential(publish.GetTargetPath()); err != nil {
		return fmt.Errorf("the publish succeeded, but: %w", err)
	}
	k.inspected++
	return nil
}

// announceController makes driver and controller one plug-in: csi-test asks
// the node's socket whether there is a controller, and creates no volume
// without one.
func announceController(reply any) {
	if capabilities, ok := reply.(*csi.GetPluginCapabilitiesResponse); ok {
		capabilities.Capabilities = append(capabilities.Capabilities, controllerCapability())
	}
}

// holdsCredential reads the volume as a docker client does.
func holdsCredential(target string) error {
	data, err := os.ReadFile(filepath.Join(target, "config.json"))
	if err != nil {
		return err
	}
	var config struct {
		Auths map[string]struct {
			Auth string `json:"auth"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return err
	}
	if got, want := config.Auths["harbor.example.com"].Auth, base64.StdEncoding.EncodeToString([]byte("robot:"+password)); got != want {
		return fmt.Errorf("config.json has no login for harbor.example.com")
	}
	return nil
}
