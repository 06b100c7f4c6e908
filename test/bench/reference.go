package main

import (
	"context"
	"net"
	"runtime"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// referenceVerb makes this program the reference server.
const referenceVerb = "reference"

// reference is a CSI server that does what the floor does, and nothing else:
// no checks, no log, no records, no locks.
type reference struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
}

// NodePublishVolume shows the files, unless a mount is there.
func (reference) NodePublishVolume(_ context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if !shown(req.GetTargetPath()) {
		if err := up(req.GetTargetPath()); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// NodeUnpublishVolume takes them away.
func (reference) NodeUnpublishVolume(_ context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := down(req.GetTargetPath()); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// Probe tells that it serves.
func (reference) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

// serveReference serves until it is killed. Workers that live on are the one
// option of gRPC that made a measurable difference here: a new goroutine has
// to grow its stack again for every call.
func serveReference(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))))
	csi.RegisterIdentityServer(server, reference{})
	csi.RegisterNodeServer(server, reference{})
	return server.Serve(listener)
}
