package driver

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// What the kubelet adds to volume_context.
const (
	kubeletPrefix     = "csi.storage.k8s.io/"
	ctxEphemeral      = kubeletPrefix + "ephemeral"
	ctxPodName        = kubeletPrefix + "pod.name"
	ctxPodNamespace   = kubeletPrefix + "pod.namespace"
	ctxPodUID         = kubeletPrefix + "pod.uid"
	ctxServiceAccount = kubeletPrefix + "serviceAccount.name"
	ctxTokens         = kubeletPrefix + "serviceAccount.tokens"
)

const (
	maxVolumeID = 128 // the CSI specification's limit for a string

	modeForAll   fs.FileMode = 0o444
	modeForGroup fs.FileMode = 0o440
)

// rules say which requests are valid, and turn them into what package volume
// understands.
type rules struct {
	kubeletDir      string
	tokenSource     TokenSource
	requirePodToken bool
}

// spec checks a publish request. Every mistake of the request is reported at
// once; then the tokens are compared with what it says.
func (r rules) spec(req *csi.NodePublishVolumeRequest) (volume.Spec, error) {
	raw := r.takeTokens(req)
	volumeContext := req.GetVolumeContext()
	attributes, attributesErr := volume.ParseAttributes(podAttributes(volumeContext), volumeContext[ctxPodNamespace])
	gid, gidErr := mountGroup(req)
	if err := errors.Join(
		r.place(req.GetVolumeId(), req.GetTargetPath()),
		r.ownPod(req.GetTargetPath(), volumeContext[ctxPodUID]),
		publishMistakes(req),
		gidErr,
		attributesErr,
	); err != nil {
		return volume.Spec{}, err
	}
	subject := connector.Subject{
		Namespace:      volumeContext[ctxPodNamespace],
		ServiceAccount: volumeContext[ctxServiceAccount],
		Pod:            volumeContext[ctxPodName],
		PodUID:         volumeContext[ctxPodUID],
	}
	tokens, uid, err := r.tokens(raw, subject)
	if err != nil {
		return volume.Spec{}, err
	}
	subject.ServiceAccountUID = uid
	return volume.Spec{
		Place: volume.Place{
			ID:       req.GetVolumeId(),
			Target:   req.GetTargetPath(),
			FileMode: fileMode(req, attributes),
			GID:      gid,
		},
		Subject:    subject,
		Attributes: attributes,
		Tokens:     tokens,
	}, nil
}

// takeTokens takes the tokens out of both channels, before anything else
// reads the request, and returns those of the configured one. A pod's author
// can write the other's key, which the kubelet does not strip.
func (r rules) takeTokens(req *csi.NodePublishVolumeRequest) string {
	raw := req.GetVolumeContext()[ctxTokens]
	if r.tokenSource == TokensInSecrets {
		raw = req.GetSecrets()[ctxTokens]
	}
	delete(req.GetVolumeContext(), ctxTokens)
	delete(req.GetSecrets(), ctxTokens)
	return raw
}

// podAttributes is what the pod's author wrote.
func podAttributes(volumeContext map[string]string) map[string]string {
	attributes := make(map[string]string)
	for key, value := range volumeContext {
		if !strings.HasPrefix(key, kubeletPrefix) {
			attributes[key] = value
		}
	}
	return attributes
}

// mistake is one line of a table of checks.
type mistake struct {
	made   bool
	field  string
	detail string
}

func join(table []mistake) error {
	var all []error
	for _, m := range table {
		if m.made {
			all = append(all, connector.Field(m.field, "%s", m.detail))
		}
	}
	return errors.Join(all...)
}

// place checks what publish and unpublish have in common.
func (r rules) place(id, target string) error {
	clean := filepath.IsAbs(target) && filepath.Clean(target) == target
	relative, below := strings.CutPrefix(target, r.kubeletDir)
	below = below && strings.HasPrefix(relative, "/")
	if clean && below && id != "" && len(id) <= maxVolumeID && len(target) <= unix.PathMax && !strings.ContainsRune(target, 0) {
		return nil // as nearly always: no text is needed
	}
	return join([]mistake{
		{id == "", "volume_id", "is empty"},
		{len(id) > maxVolumeID, "volume_id", "is longer than " + strconv.Itoa(maxVolumeID) + " bytes"},
		{target == "", "target_path", "is empty"},
		{len(target) > unix.PathMax || strings.ContainsRune(target, 0), "target_path", "is no path: it is too long or holds a zero byte"},
		{target != "" && !clean, "target_path", "is not an absolute, clean path"},
		{clean && !below, "target_path", "is outside of --kubelet-dir " + r.kubeletDir},
	})
}

// uuid is the form of a pod's UID, but for static pods.
var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// ownPod refuses a target in the directory of another pod than the request's:
// what one pod may have would be shown to the other.
func (r rules) ownPod(target, podUID string) error {
	relative, _ := strings.CutPrefix(target, r.kubeletDir)
	below, _ := strings.CutPrefix(relative, "/pods/")
	owner, _, _ := strings.Cut(below, "/")
	if podUID == "" || owner == podUID || !uuid.MatchString(owner) {
		return nil
	}
	return connector.Field("target_path", "is of pod %s, and the request is for pod %s", owner, podUID)
}

// singleNodeModes are the access modes of a volume that lives on one node.
func singleNodeModes() []csi.VolumeCapability_AccessMode_Mode {
	return []csi.VolumeCapability_AccessMode_Mode{
		csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER, // the kubelet's choice for inline volumes
		csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
	}
}

// publishMistakes checks the rest of a publish request but its attributes.
// The staging path is ignored: nothing is staged.
func publishMistakes(req *csi.NodePublishVolumeRequest) error {
	capability, mount, volumeContext := req.GetVolumeCapability(), req.GetVolumeCapability().GetMount(), req.GetVolumeContext()
	ephemeral, told := volumeContext[ctxEphemeral]
	const podInfo = "is missing: the CSIDriver object " + Name + " needs podInfoOnMount: true"
	return join([]mistake{
		{capability == nil, "volume_capability", "is missing"},
		{capability.GetBlock() != nil, "volume_capability", "is for a block device: use the volume in volumeMounts, not in volumeDevices"},
		{capability != nil && capability.GetBlock() == nil && mount == nil, "volume_capability", "has no access type: it must be mount"},
		{capability != nil && !slices.Contains(singleNodeModes(), capability.GetAccessMode().GetMode()), "volume_capability.access_mode", "is not one of a single node: use an inline csi volume"},
		{mount.GetFsType() != "" && mount.GetFsType() != "tmpfs", "volume_capability.mount.fs_type", "is not tmpfs: remove fsType from the pod's csi volume"},
		{len(mount.GetMountFlags()) > 0, "volume_capability.mount.mount_flags", "cannot be chosen: remove mountOptions"},
		{!req.GetReadonly(), "readonly", "is false: set readOnly: true in the pod's csi volume"},
		{len(req.GetSecrets()) > 0, "secrets", "are not supported: remove nodePublishSecretRef from the pod's csi volume"},
		{len(req.GetPublishContext()) > 0, "publish_context", "is not empty: this driver has no controller service, so use an inline csi volume"},
		{told && ephemeral != "true", ctxEphemeral, "is not \"true\": use an inline csi volume, not a PersistentVolume"},
		{volumeContext[ctxPodName] == "", ctxPodName, podInfo},
		{volumeContext[ctxPodNamespace] == "", ctxPodNamespace, podInfo},
		{volumeContext[ctxPodNamespace] != "" && !connector.IsName(volumeContext[ctxPodNamespace]), ctxPodNamespace, "is not the name of a namespace"},
		{volumeContext[ctxPodUID] == "", ctxPodUID, podInfo},
		{volumeContext[ctxServiceAccount] == "", ctxServiceAccount, podInfo},
	})
}

// mountGroup reads the pod's fsGroup, which the kubelet hands over instead of
// changing owners itself.
func mountGroup(req *csi.NodePublishVolumeRequest) (int, error) {
	group := req.GetVolumeCapability().GetMount().GetVolumeMountGroup()
	if group == "" {
		return 0, nil
	}
	gid, err := strconv.ParseUint(group, 10, 31)
	if err != nil {
		return 0, connector.Field("volume_capability.mount.volume_mount_group", "%q is not a numeric group id", group)
	}
	return int(gid), nil
}

func fileMode(req *csi.NodePublishVolumeRequest, attributes volume.Attributes) fs.FileMode {
	switch {
	case attributes.FileMode != 0:
		return attributes.FileMode
	case req.GetVolumeCapability().GetMount().GetVolumeMountGroup() != "":
		return modeForGroup
	default:
		return modeForAll
	}
}
