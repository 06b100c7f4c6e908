package driver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestNoSecretIsLoggedOrAnswered publishes with a recognizable secret in
// every place where one can be, at the highest verbosity, rightly and wrongly.
func TestNoSecretIsLoggedOrAnswered(t *testing.T) {
	t.Parallel()
	for _, source := range []TokenSource{TokensInSecrets, TokensInVolumeContext} {
		t.Run(string(source), func(t *testing.T) {
			opts, volumes := options(t)
			opts.TokenSource = source
			f := start(t, opts, volumes)
			client := f.node(t)
			var forms []string
			hide := func(name string) string {
				secret, all := canary(name)
				forms = append(forms, all...)
				return secret
			}
			claims := podClaims("vault")
			claims["jti"] = hide("claim")
			token := sign(t, claims)
			forms = append(forms, token, token[:40], token[strings.LastIndexByte(token, '.')+1:])
			other := podClaims("vault")
			other["sub"] = hide("sub")
			var answers strings.Builder
			for name, raw := range map[string]string{
				"good":                kubeletTokens(t, map[string]string{"vault": token}),
				"not JSON":            hide("json"),
				"an unfinished JSON":  `{"vault":{"token":"` + hide("unfinished"),
				"not a token":         kubeletTokens(t, map[string]string{"vault": hide("token")}),
				"a token of another":  kubeletTokens(t, map[string]string{"vault": sign(t, other)}),
				"an odd kind of JSON": `{"vault":{"token":{"` + hide("odd") + `":1}}}`,
			} {
				for _, request := range []func(*csi.NodePublishVolumeRequest){
					func(*csi.NodePublishVolumeRequest) {},
					func(r *csi.NodePublishVolumeRequest) { r.Secrets["password"] = hide("secret") },
					func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["password"] = hide("attribute") },
					func(r *csi.NodePublishVolumeRequest) { r.VolumeContext[kubeletPrefix+"password"] = hide("reserved") },
					func(r *csi.NodePublishVolumeRequest) {
						r.PublishContext = map[string]string{"password": hide("publish context")}
					},
				} {
					req := publishRequest(opts.KubeletDir)
					req.Secrets[ctxTokens], req.VolumeContext[ctxTokens] = raw, raw
					request(req)
					_, err := client.NodePublishVolume(t.Context(), req)
					fmt.Fprintln(&answers, name, err)
				}
			}
			for _, spec := range volumes.published {
				fmt.Fprintf(&answers, "%v %+v %#v\n", spec, spec, spec)
			}
			logs := f.logs.String()
			for _, form := range forms {
				if strings.Contains(logs, form) {
					t.Errorf("%q is in the log", form)
				}
				if strings.Contains(answers.String(), form) {
					t.Errorf("%q is in an answer", form)
				}
			}
			// The test must not pass because nothing was logged or published.
			if len(volumes.published) != 2 {
				t.Errorf("%d requests were published, want 2 (the kubelet's own key prefix is no attribute)", len(volumes.published))
			}
			if !strings.Contains(logs, `"attributes":["connectors","password"]`) {
				t.Errorf("requests are not logged:\n%s", logs)
			}
		})
	}
}

// TestWhatIsLogged counts lines at the default verbosity's level.
func TestWhatIsLogged(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	f := start(t, opts, volumes)
	conn := dial(t, SocketPath(opts.Endpoint))
	wrong := publishRequest(opts.KubeletDir)
	wrong.VolumeContext["connectors"] = ""
	if _, err := csi.NewIdentityClient(conn).Probe(t.Context(), &csi.ProbeRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := csi.NewNodeClient(conn).NodePublishVolume(t.Context(), publishRequest(opts.KubeletDir)); err != nil {
		t.Fatal(err)
	}
	_, err := csi.NewNodeClient(conn).NodePublishVolume(t.Context(), wrong)
	if status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	f.ended(t)
	var lines []string
	for line := range strings.Lines(f.logs.String()) {
		if !strings.Contains(line, "gRPC call\"") { // V(5)
			_, text, _ := strings.Cut(strings.TrimSpace(line), "] ")
			lines = append(lines, text)
		}
	}
	want := []string{
		`"Serving CSI" socket="` + SocketPath(opts.Endpoint) + `"`,
		`"gRPC call failed" err="connectors: is empty: give it a value or leave it out" volumeID="csi-1" pod="ci/job-1" method="/csi.v1.Node/NodePublishVolume" code="InvalidArgument"`,
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
