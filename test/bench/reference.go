package main

import (
	"context"
	"net"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reference is a CSI server that does what the floor does, and nothing else.
type reference struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedNodeServer
}

// NodePublishVolume shows the files, unless a mount is there.
func (reference) NodePublishVolume(_ context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	var stat unix.Statx_t
	target := req.GetTargetPath()
	if unix.Statx(unix.AT_FDCWD, target, 0, unix.STATX_TYPE, &stat) == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	if err := up(target); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
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

// serveReference serves until it is killed.
func serveReference(socket string) error {
	_ = os.Remove(socket) // of an earlier run
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, reference{})
	csi.RegisterNodeServer(server, reference{})
	return server.Serve(listener)
}
