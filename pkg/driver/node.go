package driver

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

// node answers the kubelet. Its errors become codes in asStatus.
type node struct {
	csi.UnimplementedNodeServer
	volumes Volumes
	id      string
	rules   rules
}

// NodePublishVolume publishes a volume or keeps a published one fresh.
func (n *node) NodePublishVolume(ctx context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	spec, err := n.rules.spec(req)
	if err != nil {
		return nil, err
	}
	if err := n.volumes.Publish(ctx, spec); err != nil {
		return nil, err
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume removes a volume.
func (n *node) NodeUnpublishVolume(ctx context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := n.rules.place(req.GetVolumeId(), req.GetTargetPath()); err != nil {
		return nil, err
	}
	if err := n.volumes.Unpublish(ctx, req.GetVolumeId(), req.GetTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeGetVolumeStats tells space, inodes and whether the content is fresh.
func (n *node) NodeGetVolumeStats(ctx context.Context, req *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, connector.Field("volume_id", "is empty")
	}
	if req.GetVolumePath() == "" {
		return nil, connector.Field("volume_path", "is empty")
	}
	stats, err := n.volumes.Stats(ctx, req.GetVolumeId(), req.GetVolumePath())
	if err != nil {
		return nil, err
	}
	return statsResponse(stats), nil
}

// NodeGetVolumeHealth tells whether the content is fresh.
func (n *node) NodeGetVolumeHealth(ctx context.Context, req *csi.NodeGetVolumeHealthRequest) (*csi.NodeGetVolumeHealthResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, connector.Field("volume_id", "is empty")
	}
	stats, err := n.volumes.Stats(ctx, req.GetVolumeId(), req.GetVolumePublishPath())
	if err != nil {
		return nil, err
	}
	return healthResponse(req.GetVolumeId(), stats), nil
}

// NodeGetInfo names the node. There is neither a topology nor a limit.
func (n *node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.id}, nil
}

// NodeGetCapabilities lists what the methods above can do; nothing is staged.
func (n *node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	res := &csi.NodeGetCapabilitiesResponse{}
	for _, capability := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_VOLUME_MOUNT_GROUP,
		csi.NodeServiceCapability_RPC_GET_VOLUME_HEALTH,
		volumeCondition,
	} {
		res.Capabilities = append(res.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: capability}},
		})
	}
	return res, nil
}
