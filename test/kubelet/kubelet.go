// Package kubelet speaks CSI to a node driver as the kubelet does: the same
// paths, the same files beside a volume, the same volume context.
package kubelet

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	csi "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// Driver is the CSI driver's name.
const Driver = "csi.regcred.dev"

// Kubelet calls one driver.
type Kubelet struct {
	dir  string
	conn *grpc.ClientConn
	node csi.NodeClient
}

// New uses the kubelet directory dir and the driver behind endpoint. It
// connects at the first call, and again after the driver was restarted.
func New(dir, endpoint string) (*Kubelet, error) {
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: time.Second}))
	if err != nil {
		return nil, err
	}
	return &Kubelet{dir: dir, conn: conn, node: csi.NewNodeClient(conn)}, nil
}

// Lost waits until it is noticed here that the driver has ended. A call that is
// sent before fails, which does not happen to the kubelet: it dials anew for
// each.
func (k *Kubelet) Lost(ctx context.Context) {
	for k.conn.GetState() == connectivity.Ready && k.conn.WaitForStateChange(ctx, connectivity.Ready) {
	}
}

// reconnect makes a call wait for a driver that starts as little as the
// kubelet's own calls do, each of which dials anew.
var reconnect = backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond}

// Close ends the connection.
func (k *Kubelet) Close() error { return k.conn.Close() }

// Register asks what the kubelet asks when a driver registers.
func (k *Kubelet) Register(ctx context.Context) error {
	_, err := k.node.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{})
	return err
}

// Volume is an inline volume of a pod.
type Volume struct {
	Namespace, Pod, ServiceAccount string
	Name                           string // in the pod's spec
	FSGroup                        string // of the pod's securityContext; empty = none
	Attributes                     map[string]string
}

// PodUID stands for the UID that the API server gives.
func (v Volume) PodUID() string {
	sum := sha256.Sum256([]byte(v.Namespace + "/" + v.Pod))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// ID is the volume id that the kubelet makes for an inline volume.
func (v Volume) ID() string {
	return fmt.Sprintf("csi-%x", sha256.Sum256([]byte(v.Name+v.Namespace+v.PodUID())))
}

// Target is where the pod's container sees the volume.
func (k *Kubelet) Target(v Volume) string { return filepath.Join(k.volumeDir(v), "mount") }

func (k *Kubelet) podDir(v Volume) string { return filepath.Join(k.dir, "pods", v.PodUID()) }

func (k *Kubelet) volumeDir(v Volume) string {
	return filepath.Join(k.podDir(v), "volumes", "kubernetes.io~csi", v.Name)
}

// Publish mounts the volume. Called again it is the periodic republish.
func (k *Kubelet) Publish(ctx context.Context, v Volume) error {
	if err := k.Prepare(v); err != nil {
		return err
	}
	return k.Send(ctx, k.Request(v))
}

// Prepare makes what the kubelet makes before it calls a driver: the volume's
// directory, and vol_data.json in it.
func (k *Kubelet) Prepare(v Volume) error {
	if err := os.MkdirAll(k.volumeDir(v), 0o750); err != nil {
		return err
	}
	data, err := json.Marshal(map[string]string{
		"attachmentID": "csi-" + v.PodUID(), "driverName": Driver, "nodeName": "n1", "specVolID": v.Name,
		"volumeHandle": v.ID(), "volumeLifecycleMode": "Ephemeral",
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(k.volumeDir(v), "vol_data.json"), data, 0o644)
}

// Request is what the kubelet sends to publish the volume.
func (k *Kubelet) Request(v Volume) *csi.NodePublishVolumeRequest {
	volumeContext := map[string]string{
		"csi.storage.k8s.io/ephemeral":           "true",
		"csi.storage.k8s.io/pod.name":            v.Pod,
		"csi.storage.k8s.io/pod.namespace":       v.Namespace,
		"csi.storage.k8s.io/pod.uid":             v.PodUID(),
		"csi.storage.k8s.io/serviceAccount.name": v.ServiceAccount,
	}
	maps.Copy(volumeContext, v.Attributes)
	return &csi.NodePublishVolumeRequest{
		VolumeId: v.ID(), TargetPath: k.Target(v), Readonly: true, VolumeContext: volumeContext,
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{VolumeMountGroup: v.FSGroup}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		},
	}
}

// Send publishes by a request as it stands, also one that no kubelet would make.
func (k *Kubelet) Send(ctx context.Context, req *csi.NodePublishVolumeRequest) error {
	_, err := k.node.NodePublishVolume(ctx, req)
	return err
}

// Remove unpublishes by id and target, also where no kubelet would.
func (k *Kubelet) Remove(ctx context.Context, id, target string) error {
	_, err := k.node.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: id, TargetPath: target})
	return err
}

// Unpublish unmounts the volume and removes the pod's directory, as the
// kubelet does for a pod that ended.
func (k *Kubelet) Unpublish(ctx context.Context, v Volume) error {
	if err := k.Remove(ctx, v.ID(), k.Target(v)); err != nil {
		return err
	}
	return k.Forget(v)
}

// Forget removes the pod's directory of a volume that the driver does not
// serve, without telling the driver. What the driver left there is an error.
func (k *Kubelet) Forget(v Volume) error {
	if err := os.Remove(filepath.Join(k.volumeDir(v), "vol_data.json")); err != nil {
		return err
	}
	for _, dir := range []string{k.volumeDir(v), filepath.Dir(k.volumeDir(v)), filepath.Join(k.podDir(v), "volumes"), k.podDir(v)} {
		if err := os.Remove(dir); err != nil && !(dir != k.volumeDir(v) && errors.Is(err, fs.ErrExist)) {
			return fmt.Errorf("something was left in it: %w", err)
		}
	}
	return nil
}

// Stats asks for the volume's condition.
func (k *Kubelet) Stats(ctx context.Context, v Volume) (*csi.NodeGetVolumeStatsResponse, error) {
	return k.node.NodeGetVolumeStats(ctx, &csi.NodeGetVolumeStatsRequest{VolumeId: v.ID(), VolumePath: k.Target(v)})
}
