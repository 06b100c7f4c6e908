package driver

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	registerapi "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// TestRegistration does what the kubelet's plug-in manager does.
func TestRegistration(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, announced string }{
		{"the endpoint", ""},
		{"another path on the host", "/var/lib/kubelet/plugins/csi.regcred.dev/csi.sock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			opts, volumes := options(t)
			opts.RegistrationDir = filepath.Join(opts.KubeletDir, "plugins_registry")
			opts.KubeletRegistrationPath = test.announced
			f := start(t, opts, volumes)
			found, err := filepath.Glob(filepath.Join(opts.RegistrationDir, "*"))
			if err != nil || len(found) != 1 || filepath.Base(found[0]) != "csi.regcred.dev-reg.sock" {
				t.Fatalf("found %v, %v", found, err)
			}
			kubelet := registerapi.NewRegistrationClient(dial(t, found[0]))
			endpoint := test.announced
			if endpoint == "" {
				endpoint = SocketPath(opts.Endpoint)
			}
			info, err := kubelet.GetInfo(t.Context(), &registerapi.InfoRequest{})
			check(t, err, &registerapi.PluginInfo{
				Type: "CSIPlugin", Name: "csi.regcred.dev", Endpoint: endpoint, SupportedVersions: []string{"1.0.0"},
			}, info)

			if _, err := kubelet.NotifyRegistrationStatus(t.Context(), &registerapi.RegistrationStatus{PluginRegistered: false, Error: "no\nway"}); err != nil {
				t.Fatal(err)
			}
			want := []string{"the kubelet refused the registration of " + endpoint + ": no; way"}
			if diff := cmp.Diff(want, f.reasons()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if _, err := kubelet.NotifyRegistrationStatus(t.Context(), &registerapi.RegistrationStatus{PluginRegistered: true}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string(nil), f.reasons()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
