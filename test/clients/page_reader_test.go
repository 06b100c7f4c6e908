package clients

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/regcred/csi-driver-regcred/test/kubelet"
)

// clientPage is a page of docs/clients: one pod and what its container runs.
type clientPage struct {
	serviceAccount string
	fsGroup        string
	environment    []string
	mounts         map[string]map[string]string // container path → volume attributes
	blocks         []string
}

// readPage takes a page apart: exactly one block of YAML, which is a pod, and
// at least one of shell.
func readPage(text string) (clientPage, error) {
	pods := fenced(text, "yaml")
	if len(pods) != 1 {
		return clientPage{}, fmt.Errorf("%d blocks of yaml: a page has one, its pod", len(pods))
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(pods[0]), &pod); err != nil {
		return clientPage{}, err
	}
	page, err := readPod(pod)
	if page.blocks = fenced(text, "sh"); err == nil && len(page.blocks) == 0 {
		err = errors.New("no block of sh: show what the container runs")
	}
	return page, err
}

// readPod refuses what the test does not do as Kubernetes would.
func readPod(pod corev1.Pod) (clientPage, error) {
	if len(pod.Spec.Containers) != 1 || pod.Spec.ServiceAccountName == "" {
		return clientPage{}, errors.New("the pod needs one container and a serviceAccountName")
	}
	page := clientPage{serviceAccount: pod.Spec.ServiceAccountName, mounts: map[string]map[string]string{}}
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		page.fsGroup = fmt.Sprint(*s.FSGroup)
	}
	attributes := map[string]map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.CSI != nil && v.CSI.Driver == kubelet.Driver && v.CSI.ReadOnly != nil && *v.CSI.ReadOnly {
			attributes[v.Name] = v.CSI.VolumeAttributes
		}
	}
	container := pod.Spec.Containers[0]
	for _, m := range container.VolumeMounts {
		if attributes[m.Name] == nil || m.SubPath != "" {
			return clientPage{}, fmt.Errorf("volume mount %s: it is not the whole of a read-only volume of %s", m.Name, kubelet.Driver)
		}
		page.mounts[m.MountPath] = attributes[m.Name]
	}
	if len(page.mounts) == 0 {
		return clientPage{}, errors.New("the container mounts no volume")
	}
	for _, e := range container.Env {
		if e.ValueFrom != nil {
			return clientPage{}, fmt.Errorf("env %s: only plain values are known here", e.Name)
		}
		page.environment = append(page.environment, e.Name+"="+e.Value)
	}
	return page, nil
}

func (p clientPage) mentions(word string) bool {
	return strings.Contains(strings.Join(p.blocks, "\n"), word)
}

// fenced are the blocks of a language, in their order.
func fenced(text, language string) []string {
	var blocks []string
	var block *strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case block == nil && strings.TrimSpace(line) == "```"+language:
			block = &strings.Builder{}
		case block != nil && strings.TrimSpace(line) == "```":
			blocks = append(blocks, block.String())
			block = nil
		case block != nil:
			block.WriteString(line)
		}
	}
	return blocks
}

// makeOwnFolder makes a mount point, but none that would lie on the machine.
func makeOwnFolder(at string) error {
	own := []string{"/etc", "/run", "/var/lib", os.TempDir()}
	for there := filepath.Clean(at); ; there = filepath.Dir(there) {
		found, err := filepath.EvalSymlinks(there)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, dir := range own {
			if inside := found == dir || strings.HasPrefix(found, dir+"/"); inside && !strings.HasPrefix(found, os.TempDir()+"/etc.machine") {
				return os.MkdirAll(at, 0o755)
			}
		}
		return fmt.Errorf("mountPath %s: choose one below /run or /etc: other folders are the machine's", at)
	}
}
