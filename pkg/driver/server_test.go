package driver

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(Options{
		Endpoint: "unix://csi.sock", KubeletDir: "/var/lib/kubelet/", RegistrationDir: "registry",
		KubeletRegistrationPath: "unix:///csi.sock", TokenSource: "both",
	})
	want := `Options.Volumes is missing
Options.Gatherer is missing
--endpoint "unix://csi.sock": write unix:// and an absolute, clean path
--kubelet-dir "/var/lib/kubelet/": write the absolute, clean path of the kubelet's directory
--node-id "": write 1 to 256 bytes, normally the node's name
--registration-dir "registry": write an absolute, clean path, or nothing
--kubelet-registration-path "unix:///csi.sock": write an absolute, clean path, or nothing
--token-source "both": write secrets or volume-context`
	if !errors.Is(err, connector.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNewRefusesLongSockets(t *testing.T) {
	t.Parallel()
	opts, _ := options(t)
	long := "/" + strings.Repeat("d", 107)
	opts.Endpoint, opts.RegistrationDir = long, long
	_, err := New(opts)
	want := `--endpoint "` + long + `": the path of a socket has at most 107 bytes
--registration-dir "` + long + `": the path of a socket has at most 107 bytes, csi.regcred.dev-reg.sock included`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestIdentityAndNodeInfo(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	start(t, opts, volumes)
	conn := dial(t, SocketPath(opts.Endpoint))
	identityClient, nodeClient := csi.NewIdentityClient(conn), csi.NewNodeClient(conn)

	info, err := identityClient.GetPluginInfo(t.Context(), &csi.GetPluginInfoRequest{})
	check(t, err, &csi.GetPluginInfoResponse{Name: "csi.regcred.dev", VendorVersion: "v1.2.3"}, info)
	plugin, err := identityClient.GetPluginCapabilities(t.Context(), &csi.GetPluginCapabilitiesRequest{})
	check(t, err, &csi.GetPluginCapabilitiesResponse{}, plugin)
	probe, err := identityClient.Probe(t.Context(), &csi.ProbeRequest{})
	check(t, err, &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, probe)
	nodeInfo, err := nodeClient.NodeGetInfo(t.Context(), &csi.NodeGetInfoRequest{})
	check(t, err, &csi.NodeGetInfoResponse{NodeId: "n1"}, nodeInfo)

	capabilities, err := nodeClient.NodeGetCapabilities(t.Context(), &csi.NodeGetCapabilitiesRequest{})
	want := &csi.NodeGetCapabilitiesResponse{}
	for _, number := range []csi.NodeServiceCapability_RPC_Type{2, 6, 7, 4} { // stats, mount group, health, condition
		want.Capabilities = append(want.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: number}},
		})
	}
	check(t, err, want, capabilities)

	_, err = nodeClient.NodeStageVolume(t.Context(), &csi.NodeStageVolumeRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("NodeStageVolume: %v", err)
	}
}

func check[M any](t *testing.T, err error, want, got M) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUnpublish(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	client := start(t, opts, volumes).node(t)
	target := publishRequest(opts.KubeletDir).GetTargetPath()
	for _, test := range []struct {
		name, id, target string
		want             *status.Status
	}{
		{"a volume", "csi-1", target, status.New(codes.OK, "")},
		{"no id", "", target, status.New(codes.InvalidArgument, "volume_id: is empty")},
		{"no target", "csi-1", "", status.New(codes.InvalidArgument, "target_path: is empty")},
		{"elsewhere", "csi-1", "/etc/x", status.New(codes.InvalidArgument, "target_path: is outside of --kubelet-dir "+opts.KubeletDir)},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := client.NodeUnpublishVolume(t.Context(), &csi.NodeUnpublishVolumeRequest{VolumeId: test.id, TargetPath: test.target})
			if diff := cmp.Diff(test.want.String(), status.Convert(err).String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff([]string{"csi-1 at " + target}, volumes.gone); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestStatsAndHealth(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	stats := volume.Stats{
		Usage:    volume.Usage{TotalBytes: 100, UsedBytes: 40, FreeBytes: 60, TotalInodes: 10, UsedInodes: 4, FreeInodes: 6},
		Abnormal: true, Message: "the token\nexpired",
	}
	volumes.stats = func(id, path string) (volume.Stats, error) {
		switch {
		case id != "csi-1" || (path != "" && path != "/p"):
			return volume.Stats{}, connector.ErrNotFound
		default:
			return stats, nil
		}
	}
	client := start(t, opts, volumes).node(t)

	got, err := client.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: "csi-1", VolumePath: "/p"})
	want := &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{Unit: csi.VolumeUsage_BYTES, Total: 100, Used: 40, Available: 60},
		{Unit: csi.VolumeUsage_INODES, Total: 10, Used: 4, Available: 6},
	}}
	// VolumeCondition of CSI 1.12: field 2 = {1: abnormal, 2: message}.
	want.ProtoReflect().SetUnknown([]byte("\x12\x16" + "\x08\x01" + "\x12\x12the token; expired"))
	check(t, err, want, got)

	health, err := client.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "csi-1"})
	check(t, err, &csi.NodeGetVolumeHealthResponse{VolumeHealth: &csi.VolumeHealth{
		VolumeId: "csi-1",
		HealthStatuses: []*csi.VolumeHealth_VolumeHealthEntry{{
			Status: csi.VolumeHealthErrorType_DEGRADED, Reason: "ContentNotCurrent", Message: "the token; expired",
		}},
	}}, health)

	stats = volume.Stats{Message: "credentials are current"}
	health, err = client.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "csi-1", VolumePublishPath: "/p"})
	check(t, err, &csi.NodeGetVolumeHealthResponse{VolumeHealth: &csi.VolumeHealth{VolumeId: "csi-1"}}, health)

	for _, test := range []struct {
		id, path string
		want     codes.Code
	}{
		{"csi-2", "/p", codes.NotFound},
		{"csi-1", "some/path", codes.NotFound},
		{"", "/p", codes.InvalidArgument},
		{"csi-1", "", codes.InvalidArgument},
	} {
		if _, err := client.NodeGetVolumeStats(t.Context(), &csi.NodeGetVolumeStatsRequest{VolumeId: test.id, VolumePath: test.path}); status.Code(err) != test.want {
			t.Errorf("stats of %q at %q: %v, want %s", test.id, test.path, err, test.want)
		}
	}
	if _, err := client.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("health of nothing: %v", err)
	}
}

func TestStopWaitsForACall(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	opts.RegistrationDir = filepath.Join(opts.KubeletDir, "plugins_registry")
	began, finish := make(chan struct{}), make(chan struct{})
	volumes.publishing = func(context.Context) error {
		close(began)
		select {
		case <-finish:
		case <-t.Context().Done(): // the test has failed
		}
		return nil
	}
	f := start(t, opts, volumes)
	client := f.node(t)
	answered := make(chan error, 1)
	go func() {
		_, err := client.NodePublishVolume(t.Context(), publishRequest(opts.KubeletDir))
		answered <- err
	}()
	<-began
	f.stop()
	select {
	case err := <-answered:
		t.Fatalf("answered before it was done: %v", err)
	case err := <-f.done:
		t.Fatalf("the driver ended under a running call: %v", err)
	case <-time.After(100 * time.Millisecond): // long enough for a stop that does not wait
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the call that was running: %v", err)
	}
	f.ended(t)
	for _, socket := range []string{SocketPath(opts.Endpoint), opts.registrationSocket()} {
		if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", socket, err)
		}
	}
}

func TestStopCancelsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	began, ended := make(chan struct{}), make(chan error, 1)
	volumes.publishing = func(ctx context.Context) error {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	server := newServer(logCalls(klog.Background()))
	csi.RegisterNodeServer(server, &node{volumes: volumes, rules: rules{kubeletDir: opts.KubeletDir}})
	socket := filepath.Join(opts.KubeletDir, "csi.sock")
	listener, err := listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	client := csi.NewNodeClient(dial(t, socket))
	answered := make(chan error, 1)
	go func() {
		_, err := client.NodePublishVolume(t.Context(), publishRequest(opts.KubeletDir))
		answered <- err
	}()
	<-began
	stopWithin(server, time.Millisecond)
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the handler's context: %v", err)
		}
	default:
		t.Error("stopped under a running handler")
	}
	if err := <-answered; status.Code(err) != codes.Unavailable {
		t.Errorf("the caller heard %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	start(t, opts, volumes)
	info, err := os.Stat(SocketPath(opts.Endpoint))
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("got %v, %v; want a socket of mode 0600", info.Mode(), err)
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    string // the error behind "listening on socket PATH: "; empty = none
	}{
		{"nothing there", func(*testing.T, string) {}, ""},
		{"a dead socket", func(t *testing.T, path string) {
			dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			dead.SetUnlinkOnClose(false) // as after kill -9
			if err := dead.Close(); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"a living socket", func(t *testing.T, path string) {
			living, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = living.Close() })
		}, "another process serves it: stop that one first"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the path is taken by something that is not a socket: remove it or choose another path"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "csi.sock")
			test.prepare(t, path)
			before, _ := os.Lstat(path)
			listener, err := listen(t.Context(), path)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := listener.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if want := "listening on socket " + path + ": " + test.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there has been touched: %v", err)
			}
		})
	}
}

func TestRunFailsWithoutLeavingASocket(t *testing.T) {
	t.Parallel()
	opts, _ := options(t)
	opts.RegistrationDir = filepath.Join(opts.KubeletDir, "plugins_registry")
	if err := os.MkdirAll(opts.registrationSocket(), 0o750); err != nil { // a directory is in the way
		t.Fatal(err)
	}
	server, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Run(t.Context()); !errors.Is(err, connector.ErrPrecondition) {
		t.Errorf("Run: %v", err)
	}
	if _, err := os.Lstat(SocketPath(opts.Endpoint)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the CSI socket is left: %v", err)
	}
}
