package tmpfs

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What was seen at a target counts only as long as it is the same mount.
func TestSeenIsOneMount(t *testing.T) {
	d := newDisk(t)
	place, other := placeOf(t, d, "a"), placeOf(t, d, "b")
	publish(t, d, place, sample("1"))
	publish(t, d, other, sample("2"))
	assertPublished(t, d, place, true)

	mustDo(t, unix.Mount(other.Target, place.Target, "", unix.MS_BIND, "")) // on top of it
	assertPublished(t, d, place, false)
	mustDo(t, unix.Unmount(place.Target, 0))
	assertPublished(t, d, place, true)

	mustDo(t, unix.Unmount(place.Target, unix.MNT_DETACH))
	assertPublished(t, d, place, false)
	mustDo(t, unix.Mount("none", place.Target, "tmpfs", 0, ""))
	assertPublished(t, d, place, false)
	mustDo(t, unix.Unmount(place.Target, 0))
	remove(t, d, place)
	remove(t, d, other)
	if left := len(d.seen.at); left != 0 {
		t.Errorf("%d volumes that are gone are remembered", left)
	}
}
