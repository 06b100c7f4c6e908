package volume_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestRenderOnceGivesWhatPublishShows(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		publish(t, n, spec(t, "a", "reg"))
		options := n.Options
		options.Disk, options.Records = nil, nil
		in, files, err := volume.RenderOnce(t.Context(), options, spec(t, "once", "reg"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(n.disk.mounts["/pods/a"], files); diff != "" {
			t.Error(diff)
		}
		if len(in.Sources) != 1 || in.Sources[0].Connector != own || in.Sources[0].Credential == nil {
			t.Errorf("made from %v", in.Sources)
		}
		if n.cluster.callCount() != 1 || n.volumes.count() != 1 || len(n.disk.mounts) != 1 {
			t.Errorf("%d calls, %d records, %d mounts", n.cluster.callCount(), n.volumes.count(), len(n.disk.mounts))
		}
		if err := n.Unpublish(t.Context(), "a", "/pods/a"); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		if n.credentials.count() != 0 {
			t.Error("a lease was kept")
		}
	})
}

func TestRenderOnceRefusesAsPublishDoes(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node) {
		foreign := connector.Ref{Namespace: "other", Name: "reg"}
		n.cluster.declare(foreign)
		for _, connectors := range []string{"other/reg", "missing"} {
			want := n.Publish(t.Context(), spec(t, "a", connectors))
			_, _, got := volume.RenderOnce(t.Context(), n.Options, spec(t, "a", connectors))
			if want == nil || got == nil || got.Error() != want.Error() {
				t.Errorf("%s: %v, want %v", connectors, got, want)
			}
		}
	})
}
