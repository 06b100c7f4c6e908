package driver

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	opts, _ := options(t)
	target := publishRequest(opts.KubeletDir).GetTargetPath()
	subject := connector.Subject{Namespace: "ci", ServiceAccount: "builder", Pod: "job-1", PodUID: "u1"}
	attributes := volume.Attributes{
		Uses:           []volume.Use{{Written: "harbor", Ref: connector.Ref{Namespace: "ci", Name: "harbor"}}},
		Configurations: []string{"docker-config"},
	}
	tests := []struct {
		name   string
		change func(*csi.NodePublishVolumeRequest)
		want   func(*volume.Spec)
	}{
		{
			name:   "what the kubelet sends",
			change: func(*csi.NodePublishVolumeRequest) {},
			want:   func(*volume.Spec) {},
		},
		{
			name:   "a caller without the ephemeral flag",
			change: func(r *csi.NodePublishVolumeRequest) { delete(r.VolumeContext, ctxEphemeral) },
			want:   func(*volume.Spec) {},
		},
		{
			name:   "a staging path is ignored",
			change: func(r *csi.NodePublishVolumeRequest) { r.StagingTargetPath = "/anywhere" },
			want:   func(*volume.Spec) {},
		},
		{
			name:   "a pod with an fsGroup",
			change: func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().VolumeMountGroup = "2000" },
			want:   func(s *volume.Spec) { s.Place.GID, s.Place.FileMode = 2000, 0o440 },
		},
		{
			name: "a mode that the pod chose",
			change: func(r *csi.NodePublishVolumeRequest) {
				r.VolumeCapability.GetMount().VolumeMountGroup = "2000"
				r.VolumeContext["file.mode"] = "0400"
			},
			want: func(s *volume.Spec) { s.Place.GID, s.Place.FileMode, s.Attributes.FileMode = 2000, 0o400, 0o400 },
		},
		{
			name: "tokens",
			change: func(r *csi.NodePublishVolumeRequest) {
				r.Secrets[ctxTokens] = kubeletTokens(t, map[string]string{
					Name:                sign(t, podClaims(Name)),
					"sts.amazonaws.com": sign(t, podClaims("sts.amazonaws.com")),
					"":                  sign(t, podClaims("https://kubernetes.default.svc")),
				})
			},
			want: func(s *volume.Spec) {
				s.Subject.ServiceAccountUID = "su1"
				s.Tokens = map[string]issuers.Token{
					Name:                {JWT: connector.NewSecret(sign(t, podClaims(Name))), ExpiresAt: tokenEnd},
					"sts.amazonaws.com": {JWT: connector.NewSecret(sign(t, podClaims("sts.amazonaws.com"))), ExpiresAt: tokenEnd},
				}
			},
		},
		{
			name: "tokens in the other channel are dropped unread",
			change: func(r *csi.NodePublishVolumeRequest) {
				r.VolumeContext[ctxTokens] = "not even JSON"
			},
			want: func(*volume.Spec) {},
		},
	}
	f := start(t, opts, opts.Volumes.(*fakeVolumes))
	client := f.node(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := publishRequest(opts.KubeletDir)
			test.change(req)
			if _, err := client.NodePublishVolume(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			want := volume.Spec{
				Place:      volume.Place{ID: "csi-1", Target: target, FileMode: 0o444},
				Subject:    subject,
				Attributes: attributes,
				Tokens:     map[string]issuers.Token{},
			}
			test.want(&want)
			if diff := cmp.Diff(want, f.volumes.last()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestPublishMistakes(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	const podInfo = " is missing: the CSIDriver object csi.regcred.dev needs podInfoOnMount: true"
	tests := []struct {
		name   string
		change func(*csi.NodePublishVolumeRequest)
		want   string
	}{
		{"no volume id", func(r *csi.NodePublishVolumeRequest) { r.VolumeId = "" }, "volume_id: is empty"},
		{"a long volume id", func(r *csi.NodePublishVolumeRequest) { r.VolumeId = strings.Repeat("v", 129) }, "volume_id: is longer than 128 bytes"},
		{"no target", func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "" }, "target_path: is empty"},
		{"a relative target", func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "pods/u1" }, "target_path: is not an absolute, clean path"},
		{"an unclean target", func(r *csi.NodePublishVolumeRequest) { r.TargetPath += "/../mount" }, "target_path: is not an absolute, clean path"},
		{"a target elsewhere", func(r *csi.NodePublishVolumeRequest) { r.TargetPath = "/etc" }, "target_path: is outside of --kubelet-dir " + opts.KubeletDir},
		{"a target beside", func(r *csi.NodePublishVolumeRequest) { r.TargetPath = opts.KubeletDir + "-evil/x" }, "target_path: is outside of --kubelet-dir " + opts.KubeletDir},
		{"the kubelet's directory itself", func(r *csi.NodePublishVolumeRequest) { r.TargetPath = opts.KubeletDir }, "target_path: is outside of --kubelet-dir " + opts.KubeletDir},
		{
			"the directory of another pod",
			func(r *csi.NodePublishVolumeRequest) {
				r.TargetPath = filepath.Join(opts.KubeletDir, "pods/2d0e3f9c-56a1-4c12-9d0a-6f4c1d3a7b55/volumes/kubernetes.io~csi/registry/mount")
			},
			"target_path: is of pod 2d0e3f9c-56a1-4c12-9d0a-6f4c1d3a7b55, and the request is for pod u1",
		},
		{"no capability", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability = nil }, "volume_capability: is missing"},
		{"no access type", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.AccessType = nil }, "volume_capability: has no access type: it must be mount"},
		{
			"a block device",
			func(r *csi.NodePublishVolumeRequest) {
				r.VolumeCapability.AccessType = &csi.VolumeCapability_Block{Block: &csi.VolumeCapability_BlockVolume{}}
			},
			"volume_capability: is for a block device: use the volume in volumeMounts, not in volumeDevices",
		},
		{
			"many nodes",
			func(r *csi.NodePublishVolumeRequest) {
				r.VolumeCapability.AccessMode.Mode = csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY
			},
			"volume_capability.access_mode: is not one of a single node: use an inline csi volume",
		},
		{"no access mode", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.AccessMode = nil }, "volume_capability.access_mode: is not one of a single node: use an inline csi volume"},
		{"a file system", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().FsType = "ext4" }, "volume_capability.mount.fs_type: is not tmpfs: remove fsType from the pod's csi volume"},
		{"mount flags", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().MountFlags = []string{"suid"} }, "volume_capability.mount.mount_flags: cannot be chosen: remove mountOptions"},
		{"a group by name", func(r *csi.NodePublishVolumeRequest) { r.VolumeCapability.GetMount().VolumeMountGroup = "staff" }, `volume_capability.mount.volume_mount_group: "staff" is not a numeric group id`},
		{"the group that means no change", func(r *csi.NodePublishVolumeRequest) {
			r.VolumeCapability.GetMount().VolumeMountGroup = "4294967295"
		}, `volume_capability.mount.volume_mount_group: "4294967295" is not a numeric group id`},
		{"a writable volume", func(r *csi.NodePublishVolumeRequest) { r.Readonly = false }, "readonly: is false: set readOnly: true in the pod's csi volume"},
		{"a secret reference", func(r *csi.NodePublishVolumeRequest) { r.Secrets["password"] = "hunter2" }, "secrets: are not supported: remove nodePublishSecretRef from the pod's csi volume"},
		{"a publish context", func(r *csi.NodePublishVolumeRequest) { r.PublishContext = map[string]string{"a": "b"} }, "publish_context: is not empty: this driver has no controller service, so use an inline csi volume"},
		{"a persistent volume", func(r *csi.NodePublishVolumeRequest) { r.VolumeContext[ctxEphemeral] = "false" }, `csi.storage.k8s.io/ephemeral: is not "true": use an inline csi volume, not a PersistentVolume`},
		{
			"no pod information",
			func(r *csi.NodePublishVolumeRequest) { r.VolumeContext = map[string]string{"connectors": "ci/harbor"} },
			"csi.storage.k8s.io/pod.name:" + podInfo + "; csi.storage.k8s.io/pod.namespace:" + podInfo +
				"; csi.storage.k8s.io/pod.uid:" + podInfo + "; csi.storage.k8s.io/serviceAccount.name:" + podInfo,
		},
		{"an unknown attribute", func(r *csi.NodePublishVolumeRequest) { r.VolumeContext["file.mod"] = "0444" }, `file.mod: is not a volume attribute; did you mean "file.mode"?`},
		{
			"several mistakes",
			func(r *csi.NodePublishVolumeRequest) {
				r.VolumeId, r.Readonly = "", false
				delete(r.VolumeContext, "connectors")
			},
			"volume_id: is empty; readonly: is false: set readOnly: true in the pod's csi volume; " +
				"connectors: is required: name at least one Connector of the pod's namespace, namespace/name, or cluster:name",
		},
		{"tokens that are not JSON", func(r *csi.NodePublishVolumeRequest) { r.Secrets[ctxTokens] = "eyJ" }, "the ServiceAccount tokens are not a JSON object of audiences"},
		{"tokens that are no tokens", func(r *csi.NodePublishVolumeRequest) {
			r.Secrets[ctxTokens] = kubeletTokens(t, map[string]string{"a": "b"})
		}, `the token for audience "a" is not a JSON Web Token`},
	}
	f := start(t, opts, volumes)
	client := f.node(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := publishRequest(opts.KubeletDir)
			test.change(req)
			_, err := client.NodePublishVolume(t.Context(), req)
			if diff := cmp.Diff(status.New(codes.InvalidArgument, test.want).String(), status.Convert(err).String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if len(volumes.published) > 0 {
		t.Errorf("a wrong request was published: %+v", volumes.published)
	}
}

// TestTokensOfAnotherPod changes one claim at a time.
func TestTokensOfAnotherPod(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	opts.TokenSource = TokensInVolumeContext
	f := start(t, opts, volumes)
	client := f.node(t)
	inside := func(claims map[string]any, object, field, value string) {
		kubernetes := claims["kubernetes.io"].(map[string]any)
		if object == "" {
			kubernetes[field] = value
			return
		}
		kubernetes[object].(map[string]any)[field] = value
	}
	tests := []struct {
		name   string
		change func(claims map[string]any)
		want   string // the claim
	}{
		{"another ServiceAccount", func(c map[string]any) { c["sub"] = "system:serviceaccount:ci:admin" }, "ServiceAccount"},
		{"no subject", func(c map[string]any) { delete(c, "sub") }, "ServiceAccount"},
		{"another namespace", func(c map[string]any) { inside(c, "", "namespace", "prod") }, "namespace"},
		{"another ServiceAccount in the private claims", func(c map[string]any) { inside(c, "serviceaccount", "name", "admin") }, "ServiceAccount"},
		{"a second ServiceAccount UID", func(c map[string]any) { inside(c, "serviceaccount", "uid", "su2") }, "ServiceAccount UID"},
		{"another pod", func(c map[string]any) { inside(c, "pod", "name", "job-2") }, "pod"},
		{"an older pod of the same name", func(c map[string]any) { inside(c, "pod", "uid", "u0") }, "pod UID"},
		{"another audience", func(c map[string]any) { c["aud"] = []string{"other"} }, "audience"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			claims := podClaims("vault")
			test.change(claims)
			req := publishRequest(opts.KubeletDir)
			req.VolumeContext[ctxTokens] = kubeletTokens(t, map[string]string{Name: sign(t, podClaims(Name)), "vault": sign(t, claims)})
			_, err := client.NodePublishVolume(t.Context(), req)
			want := status.New(codes.PermissionDenied, `the token for audience "vault" is not for the pod of this volume, ci/job-1: its `+test.want+` differs`)
			if diff := cmp.Diff(want.String(), status.Convert(err).String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRequirePodToken(t *testing.T) {
	t.Parallel()
	opts, volumes := options(t)
	opts.RequirePodToken = true
	f := start(t, opts, volumes)
	client := f.node(t)
	unbound := podClaims(Name)
	delete(unbound["kubernetes.io"].(map[string]any), "pod")
	refusal := status.New(codes.FailedPrecondition, "the kubelet sent no pod-bound token for audience csi.regcred.dev in secrets: "+
		"list that audience first in the tokenRequests of the CSIDriver object, and let its serviceAccountTokenInSecrets agree with --token-source")
	tests := []struct {
		name    string
		secrets map[string]string
		want    *status.Status
	}{
		{"the right one", map[string]string{ctxTokens: kubeletTokens(t, map[string]string{Name: sign(t, podClaims(Name))})}, status.New(codes.OK, "")},
		{"none", nil, refusal},
		{"one for another audience", map[string]string{ctxTokens: kubeletTokens(t, map[string]string{"vault": sign(t, podClaims("vault"))})}, refusal},
		{"one that is not bound to a pod", map[string]string{ctxTokens: kubeletTokens(t, map[string]string{Name: sign(t, unbound)})}, refusal},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := publishRequest(opts.KubeletDir)
			req.Secrets = test.secrets
			_, err := client.NodePublishVolume(t.Context(), req)
			if diff := cmp.Diff(test.want.String(), status.Convert(err).String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// FuzzTokens reads the kubelet's token object, the one part of a request that
// a pod's author can reach when the channels are confused.
func FuzzTokens(f *testing.F) {
	good := podClaims(Name)
	f.Add(kubeletTokens(f, map[string]string{Name: sign(f, good)}))
	f.Add(kubeletTokens(f, map[string]string{"": sign(f, good), "a": "b.c.d"}))
	f.Add(`{"csi.regcred.dev":{"token":"eyJhbGciOiJub25lIn0.e30.","expirationTimestamp":"2030-01-02T03:04:05Z"}}`)
	f.Add(`{"a":null}`)
	f.Add(`[]`)
	subject := connector.Subject{Namespace: "ci", ServiceAccount: "builder", Pod: "job-1", PodUID: "u1"}
	f.Fuzz(func(t *testing.T, raw string) {
		tokens, uid, err := rules{tokenSource: TokensInSecrets}.tokens(raw, subject)
		if err != nil {
			if code := codeOf(err); code != codes.InvalidArgument && code != codes.PermissionDenied {
				t.Errorf("%v is %s", err, code)
			}
			return
		}
		for audience, token := range tokens {
			said, err := readClaims(audience, token.JWT.Reveal())
			if err != nil || said.contradicts(audience, subject, uid) != "" || audience == "" {
				t.Errorf("accepted a token for %q that does not fit: %v", audience, err)
			}
		}
	})
}
