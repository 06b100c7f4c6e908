package driver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// fakeVolumes records what it is asked and answers as told.
type fakeVolumes struct {
	mu         sync.Mutex
	published  []volume.Spec
	gone       []string // id at target
	publishing func(context.Context) error
	stats      func(id, path string) (volume.Stats, error)
}

func (f *fakeVolumes) Publish(ctx context.Context, spec volume.Spec) error {
	f.mu.Lock()
	f.published = append(f.published, spec)
	f.mu.Unlock()
	if f.publishing != nil {
		return f.publishing(ctx)
	}
	return nil
}

func (f *fakeVolumes) Unpublish(_ context.Context, id, target string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = append(f.gone, id+" at "+target)
	return nil
}

func (f *fakeVolumes) Stats(_ context.Context, id, path string) (volume.Stats, error) {
	return f.stats(id, path)
}

// logBuffer collects what the driver logs, at the highest verbosity.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// fixture is a running driver.
type fixture struct {
	options Options
	server  *Server
	volumes *fakeVolumes
	logs    *logBuffer
	stop    context.CancelFunc
	done    chan error
}

// options are those of a driver in a directory of its own.
func options(t *testing.T) (Options, *fakeVolumes) {
	volumes := &fakeVolumes{}
	dir := t.TempDir()
	return Options{
		Volumes:     volumes,
		Gatherer:    prometheus.NewRegistry(),
		Version:     "v1.2.3",
		NodeID:      "n1",
		Endpoint:    "unix://" + filepath.Join(dir, "plugins", "csi.sock"),
		KubeletDir:  dir,
		TokenSource: TokensInSecrets,
	}, volumes
}

// start runs the driver until the test ends, or until stop is called.
func start(t *testing.T, options Options, volumes *fakeVolumes) *fixture {
	t.Helper()
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	logs := &logBuffer{}
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(logs), textlogger.Verbosity(10)))
	ctx, cancel := context.WithCancel(klog.NewContext(t.Context(), logger))
	f := &fixture{options: options, server: server, volumes: volumes, logs: logs, stop: cancel, done: make(chan error, 1)}
	opened, err := server.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		f.done <- run(ctx, opened)
		close(f.done)
	}()
	t.Cleanup(func() { f.ended(t) })
	return f
}

// ended stops the driver and waits for it.
func (f *fixture) ended(t *testing.T) {
	t.Helper()
	f.stop()
	if err := <-f.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// dial connects to a unix socket as the kubelet does.
func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	dialer := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	conn, err := grpc.NewClient("passthrough:///driver", grpc.WithContextDialer(dialer), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (f *fixture) node(t *testing.T) csi.NodeClient {
	return csi.NewNodeClient(dial(t, SocketPath(f.options.Endpoint)))
}

// publishRequest is what the kubelet sends for a good pod.
func publishRequest(kubeletDir string) *csi.NodePublishVolumeRequest {
	return &csi.NodePublishVolumeRequest{
		VolumeId:   "csi-1",
		TargetPath: filepath.Join(kubeletDir, "pods/u1/volumes/kubernetes.io~csi/registry/mount"),
		Readonly:   true,
		VolumeCapability: &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		},
		Secrets: map[string]string{},
		VolumeContext: map[string]string{
			"connectors":      "harbor",
			ctxEphemeral:      "true",
			ctxPodName:        "job-1",
			ctxPodNamespace:   "ci",
			ctxPodUID:         "u1",
			ctxServiceAccount: "builder",
		},
	}
}

// tokenEnd is when the tokens of these tests end.
var tokenEnd = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// podClaims are those of a token for the pod of publishRequest.
func podClaims(audience string) map[string]any {
	return map[string]any{
		"aud": []string{audience},
		"exp": tokenEnd.Unix(),
		"iss": "https://kubernetes.default.svc",
		"sub": "system:serviceaccount:ci:builder",
		"kubernetes.io": map[string]any{
			"namespace":      "ci",
			"node":           map[string]any{"name": "n1", "uid": "nu1"},
			"pod":            map[string]any{"name": "job-1", "uid": "u1"},
			"serviceaccount": map[string]any{"name": "builder", "uid": "su1"},
		},
	}
}

// sign makes a token of claims. Nothing here looks at the signature.
func sign(t testing.TB, claims map[string]any) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims)).SignedString([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// kubeletTokens is the object that the kubelet sends, of tokens by audience.
func kubeletTokens(t testing.TB, tokens map[string]string) string {
	t.Helper()
	object := map[string]any{}
	for audience, token := range tokens {
		object[audience] = map[string]any{"token": token, "expirationTimestamp": tokenEnd.Format(time.RFC3339)}
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// canary is a recognizable secret, and the forms in which it could leak.
func canary(name string) (secret string, forms []string) {
	secret = fmt.Sprintf("canary-%s-7f3a", name)
	return secret, []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))[:16], fmt.Sprintf("%x", secret)}
}

// last returns the latest publish.
func (f *fakeVolumes) last() volume.Spec {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.published[len(f.published)-1]
}
