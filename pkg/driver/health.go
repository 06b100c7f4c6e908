package driver

import (
	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// CSI 1.13 replaced the volume condition by NodeGetVolumeHealth and removed
// its names. Kubelets built on CSI 1.3 to 1.12 know nothing else, so both are
// served; these are the numbers that the specification had, and reserves.
const (
	volumeCondition csi.NodeServiceCapability_RPC_Type = 4

	fieldVolumeCondition protowire.Number = 2 // of NodeGetVolumeStatsResponse
	fieldAbnormal        protowire.Number = 1 // of VolumeCondition
	fieldMessage         protowire.Number = 2 // of VolumeCondition
)

// reasonNotCurrent covers every adverse condition of a volume: its content is
// not what it should be now, and the message says why.
const reasonNotCurrent = "ContentNotCurrent"

func statsResponse(stats volume.Stats) *csi.NodeGetVolumeStatsResponse {
	u := stats.Usage
	res := &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{Unit: csi.VolumeUsage_BYTES, Total: u.TotalBytes, Used: u.UsedBytes, Available: u.FreeBytes},
		{Unit: csi.VolumeUsage_INODES, Total: u.TotalInodes, Used: u.UsedInodes, Available: u.FreeInodes},
	}}
	res.ProtoReflect().SetUnknown(conditionField(stats))
	return res
}

// conditionField encodes the volume condition as CSI 1.12 defines it.
func conditionField(stats volume.Stats) []byte {
	var condition []byte
	condition = protowire.AppendTag(condition, fieldAbnormal, protowire.VarintType)
	condition = protowire.AppendVarint(condition, protowire.EncodeBool(stats.Abnormal))
	condition = protowire.AppendTag(condition, fieldMessage, protowire.BytesType)
	condition = protowire.AppendString(condition, oneLine(stats.Message))
	field := protowire.AppendTag(nil, fieldVolumeCondition, protowire.BytesType)
	return protowire.AppendBytes(field, condition)
}

func healthResponse(id string, stats volume.Stats) *csi.NodeGetVolumeHealthResponse {
	health := &csi.VolumeHealth{VolumeId: id}
	if stats.Abnormal {
		health.HealthStatuses = []*csi.VolumeHealth_VolumeHealthEntry{{
			Status:  csi.VolumeHealthErrorType_DEGRADED,
			Reason:  reasonNotCurrent,
			Message: oneLine(stats.Message),
		}}
	}
	return &csi.NodeGetVolumeHealthResponse{VolumeHealth: health}
}
