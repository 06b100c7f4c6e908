package tmpfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func TestSurvey(t *testing.T) {
	d := newDisk(t)
	inPod := func(pod string, path ...string) string {
		return filepath.Join(append([]string{d.kubeletDir, "pods", pod}, path...)...)
	}
	data := func(pod, text string) {
		mustDo(t, os.WriteFile(inPod(pod, "volumes", csiVolumes, "registry", kubeletData), []byte(text), 0o600))
	}
	var want []volume.Survivor
	add := func(pod string, s volume.Survivor) {
		place := placeOf(t, d, pod)
		publish(t, d, place, sample("1"))
		s.Target = place.Target
		want = append(want, s)
	}
	add("a-running", volume.Survivor{ID: "csi-a-running"})
	data("a-running", `{"driverName":"csi.regcred.dev","volumeHandle":"csi-a-running"}`)
	mustDo(t, os.Mkdir(inPod("a-running", "plugins"), 0o700))
	add("b-removed", volume.Survivor{PodGone: true})
	add("c-left-to-the-kubelet", volume.Survivor{ID: "csi-c-left-to-the-kubelet"})
	data("c-left-to-the-kubelet", `{"volumeHandle":"csi-c-left-to-the-kubelet"}`)
	add("d-another-id", volume.Survivor{})
	data("d-another-id", `{"volumeHandle":"csi-other"}`)
	add("e-broken-data", volume.Survivor{})
	data("e-broken-data", `{"volumeHandle":`)
	add("f with blank", volume.Survivor{PodGone: true})
	add("g-other-volume", volume.Survivor{})
	mustDo(t, os.MkdirAll(inPod("g-other-volume", "volumes", "kubernetes.io~empty-dir"), 0o700))

	two := volume.Place{ID: "second", Target: inPod("h-two", "volumes", csiVolumes, "second", "mount"), FileMode: 0o444}
	add("h-two", volume.Survivor{PodGone: true})
	mustDo(t, os.Mkdir(filepath.Dir(two.Target), 0o700))
	publish(t, d, two, sample("1"))
	want = append(want, volume.Survivor{Target: two.Target, PodGone: true})

	elsewhere := volume.Place{ID: "elsewhere", Target: d.kubeletDir + "/z-standalone", FileMode: 0o444}
	publish(t, d, elsewhere, sample("1"))
	want = append(want, volume.Survivor{Target: elsewhere.Target})

	// None of these is a volume at its target.
	covered := placeOf(t, d, "x-covered")
	publish(t, d, covered, sample("1"))
	mustDo(t, unix.Mount("x", covered.Target, "tmpfs", 0, ""))
	foreign := placeOf(t, d, "x-foreign")
	mustDo(t, os.Mkdir(foreign.Target, 0o700), unix.Mount(source, foreign.Target, "tmpfs", 0, ""))
	subPath := inPod("a-running", "volume-subpaths")
	mustDo(t, os.Mkdir(subPath, 0o700), unix.Mount(elsewhere.Target+"/certs.d", subPath, "", unix.MS_BIND, ""))
	mustDo(t, unix.Mount(elsewhere.Target, elsewhere.Target, "", unix.MS_BIND, "")) // stacked: one target

	open := descriptors(t)
	got, err := d.Survey()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if now := descriptors(t); now != open {
		t.Errorf("%d descriptors, %d before", now, open)
	}
}

func TestSurveyOfAnEndingVolume(t *testing.T) {
	d := newDisk(t)
	place := placeOf(t, d, "a")
	publish(t, d, place, sample("1"))
	d.atStep(2, func() error { return os.ErrDeadlineExceeded })
	if _, err := d.Remove(place); err == nil {
		t.Fatal("Remove ignored the failure")
	}
	d.step = nil
	assertPublished(t, d, place, false)
	got, err := d.Survey()
	if diff := cmp.Diff([]volume.Survivor{{Target: place.Target, PodGone: true}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	remove(t, d, place)
}
