package driver

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
)

// requestVerbosity is the level at which every request is logged.
const requestVerbosity = 5

// logCalls hands each call the logger, turns its error into a status, and logs
// that once. What a successful call changed is logged by who changed it. A
// panic is left to end the process: the state behind it is unknown, and a
// restart recovers.
func logCalls(base klog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if logger := base.V(requestVerbosity); logger.Enabled() {
			logger.WithValues(about(req)...).Info("gRPC call", append([]any{keyMethod, info.FullMethod}, sanitized(req)...)...)
		}
		res, err := handler(klog.NewContext(ctx, base), req)
		if err = asStatus(err); err != nil {
			failure := status.Convert(err)
			base.WithValues(about(req)...).Error(errors.New(failure.Message()), "gRPC call failed",
				keyMethod, info.FullMethod, keyCode, failure.Code().String())
			return nil, err
		}
		return res, nil
	}
}

// about names the volume and the pod of a request.
func about(req any) []any {
	var values []any
	if of, ok := req.(interface{ GetVolumeId() string }); ok {
		values = append(values, keyVolumeID, of.GetVolumeId())
	}
	if publish, ok := req.(*csi.NodePublishVolumeRequest); ok {
		volumeContext := publish.GetVolumeContext()
		values = append(values, keyPod, klog.KRef(volumeContext[ctxPodNamespace], volumeContext[ctxPodName]))
	}
	return values
}

// publishSummary is what may be told of a publish request. It lists what is
// known to be harmless instead of hiding what is known to be secret: values of
// volume_context and secrets may hold tokens, whatever their keys are.
type publishSummary struct {
	Target         string   `json:"target"`
	ReadOnly       bool     `json:"readOnly"`
	AccessMode     string   `json:"accessMode"`
	MountGroup     string   `json:"mountGroup,omitempty"`
	Pod            string   `json:"pod"`
	PodUID         string   `json:"podUID"`
	ServiceAccount string   `json:"serviceAccount"`
	Attributes     []string `json:"attributes"` // names
}

// sanitized gives what a log may hold of a request, as key and value.
func sanitized(req any) []any {
	switch r := req.(type) {
	case *csi.NodePublishVolumeRequest:
		volumeContext := r.GetVolumeContext()
		return []any{keyRequest, publishSummary{
			Target:         r.GetTargetPath(),
			ReadOnly:       r.GetReadonly(),
			AccessMode:     r.GetVolumeCapability().GetAccessMode().GetMode().String(),
			MountGroup:     r.GetVolumeCapability().GetMount().GetVolumeMountGroup(),
			Pod:            volumeContext[ctxPodNamespace] + "/" + volumeContext[ctxPodName],
			PodUID:         volumeContext[ctxPodUID],
			ServiceAccount: volumeContext[ctxServiceAccount],
			Attributes:     slices.Sorted(maps.Keys(podAttributes(volumeContext))),
		}}
	case *csi.NodeUnpublishVolumeRequest:
		return []any{keyTarget, r.GetTargetPath()}
	case *csi.NodeGetVolumeStatsRequest:
		return []any{keyTarget, r.GetVolumePath()}
	default:
		return nil
	}
}
