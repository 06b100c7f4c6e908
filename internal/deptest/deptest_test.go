package deptest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestViolations(t *testing.T) {
	const list = `
os/exec syscall
k8s.io/mount-utils os/exec k8s.io/klog/v2
github.com/regcred/csi-driver-regcred/pkg/issuers os/exec github.com/regcred/csi-driver-regcred/pkg/connector
github.com/regcred/csi-driver-regcred/pkg/volume github.com/regcred/csi-driver-regcred/pkg/issuers github.com/regcred/csi-driver-regcred/pkg/issuers/secret
github.com/regcred/csi-driver-regcred/pkg/driver google.golang.org/grpc google.golang.org/protobuf k8s.io/klog/v2 k8s.io/client-go/rest
`
	got := violations(list[1:], []Rule{Floors("pkg/connector", "pkg/issuers"), NoPrograms(), NoCSI(), NoAPIServer("k8s.io/klog/v2/...")})
	want := []string{
		"github.com/regcred/csi-driver-regcred/pkg/issuers imports os/exec: the product executes no programs",
		"github.com/regcred/csi-driver-regcred/pkg/volume imports github.com/regcred/csi-driver-regcred/pkg/issuers/secret: imports point down only, see docs/architecture.md",
		"github.com/regcred/csi-driver-regcred/pkg/driver imports google.golang.org/grpc: gRPC and CSI belong to pkg/driver",
		"github.com/regcred/csi-driver-regcred/pkg/driver imports k8s.io/client-go/rest: only pkg/source/kube talks to the API server",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCheck runs the real thing on this package, which imports os/exec.
func TestCheck(t *testing.T) {
	Check(t, Floors(), NoCSI(), NoAPIServer())
}
