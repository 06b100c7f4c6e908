package tmpfs

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"k8s.io/mount-utils"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Survey lists the volumes of this driver below the kubelet directory, each
// target once. It leaves out what no path leads to any more, what lies under
// someone else's mount, and binds of a part of a volume, such as the kubelet's
// subPath mounts.
//
// A pod counts as gone when nothing of pods/<uid> is left but the path to
// volumes of this driver, as after an rm -r that the mounts held up. A running
// pod has its plugins, containers and etc-hosts there; a pod that the kubelet
// is yet to clean up has at least a vol_data.json, and the kubelet will ask to
// unpublish its volumes. In doubt a pod is not gone.
func (d *Disk) Survey() ([]volume.Survivor, error) {
	mounts, err := mount.ParseMountInfo("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	// The table shows paths without symlinks, which KubeletDir may have.
	resolved, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(d.root))
	if err != nil {
		return nil, fmt.Errorf("resolving the kubelet directory: %w", err)
	}
	prefix := strings.TrimSuffix(resolved, "/") + "/"
	hashes := map[string]string{} // by path below the kubelet directory
	for _, m := range mounts {
		rel, inside := strings.CutPrefix(unescape(m.MountPoint), prefix)
		if !inside || m.FsType != "tmpfs" || m.Source != source || m.Root != "/" {
			continue
		}
		if _, seen := hashes[rel]; seen {
			continue
		}
		if hash, ok := d.hashAt(rel); ok {
			hashes[rel] = hash
		}
	}
	survivors := make([]volume.Survivor, 0, len(hashes))
	for rel, hash := range hashes {
		survivors = append(survivors, volume.Survivor{
			Target:  path.Join(d.kubeletDir, rel),
			ID:      d.idOf(rel, hash),
			PodGone: d.podGone(rel, hashes),
		})
	}
	slices.SortFunc(survivors, func(a, b volume.Survivor) int { return strings.Compare(a.Target, b.Target) })
	return survivors, nil
}

// hashAt reads the hash of the volume id from the marker, if the topmost
// mount at rel is a volume.
func (d *Disk) hashAt(rel string) (string, bool) {
	fd, err := open(d.root, rel, unix.O_PATH, confined)
	if err != nil {
		return "", false
	}
	defer shut(fd)
	f, err := inspect(fd)
	if err != nil || f.kind != otherVolume {
		return "", false
	}
	hash, _, _ := strings.Cut(strings.TrimPrefix(f.marker, source+" "), " ")
	return hash, true
}

// idOf gives the volume id that the kubelet keeps beside the target.
func (d *Disk) idOf(rel, hash string) string {
	fd, err := open(d.root, path.Join(path.Dir(rel), kubeletData), unix.O_RDONLY|unix.O_NONBLOCK, confined)
	if err != nil {
		return ""
	}
	defer shut(fd)
	text := make([]byte, 64<<10)
	n, err := unix.Read(fd, text)
	if err != nil {
		return ""
	}
	var data struct {
		VolumeHandle string `json:"volumeHandle"`
	}
	if json.Unmarshal(text[:n], &data) != nil || hashOf(data.VolumeHandle) != hash {
		return ""
	}
	return data.VolumeHandle
}

const (
	kubeletData = "vol_data.json"
	csiVolumes  = "kubernetes.io~csi"
)

// podGone follows pods/<uid>/volumes/kubernetes.io~csi/<name>/mount down and
// allows no other name on the way than those that lead to volumes.
func (d *Disk) podGone(rel string, volumes map[string]string) bool {
	parts := strings.Split(rel, "/")
	if len(parts) != 6 || parts[0] != "pods" || parts[2] != "volumes" || parts[3] != csiVolumes {
		return false
	}
	pod := path.Join(parts[:2]...)
	csi := path.Join(pod, "volumes", csiVolumes)
	if !d.holdsOnly(pod, "volumes") || !d.holdsOnly(path.Join(pod, "volumes"), csiVolumes) {
		return false
	}
	names, err := d.names(csi)
	if err != nil {
		return false
	}
	for _, name := range names {
		target := path.Join(csi, name, parts[5])
		if _, ours := volumes[target]; !ours || !d.holdsOnly(path.Join(csi, name), parts[5]) {
			return false
		}
	}
	return true
}

func (d *Disk) holdsOnly(dir, name string) bool {
	names, err := d.names(dir)
	return err == nil && len(names) == 1 && names[0] == name
}

func (d *Disk) names(dir string) ([]string, error) {
	fd, err := open(d.root, dir, unix.O_RDONLY|unix.O_DIRECTORY, confined)
	if err != nil {
		return nil, resolving(dir, err)
	}
	defer shut(fd)
	return list(fd)
}

// unescape undoes what the kernel does to blanks, line ends, backslashes and
// number signs in a mount point.
func unescape(p string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(p)
}
