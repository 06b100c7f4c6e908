package tmpfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

// Each benchmark runs beside the floor: the same effect by the fewest system
// calls, unsafe and incomplete on the way. Times on a shared machine mean
// little by themselves; cpu-µs/op and the ratio to the floor do.

func benchFiles(version string) []string {
	return []string{"config.json", `{"auths":{"registry.example":{"auth":"` + version + `"}}}`, "regcred.json", "{}", "ca.crt", "CA"}
}

func floorPublish(b *testing.B, target string) {
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	must(unix.Mkdir(target, 0o750))
	must(unix.Mount(source, target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4m"))
	files := benchFiles("1")
	for i := 0; i < len(files); i += 2 {
		fd, err := unix.Open(target+"/"+files[i], unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o444)
		must(err)
		_, err = unix.Write(fd, []byte(files[i+1]))
		must(err)
		must(unix.Close(fd))
	}
	must(unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""))
}

func floorRemove(b *testing.B, target string) {
	if err := unix.Unmount(target, 0); err != nil {
		b.Fatal(err)
	}
	if err := unix.Rmdir(target); err != nil {
		b.Fatal(err)
	}
}

// places makes the parents of n targets.
func places(b *testing.B, d *Disk, n int) []volume.Place {
	b.Helper()
	all := make([]volume.Place, n)
	for i := range all {
		dir := filepath.Join(d.kubeletDir, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o750); err != nil {
			b.Fatal(err)
		}
		all[i] = volume.Place{ID: fmt.Sprint("csi-", i), Target: dir + "/mount", FileMode: 0o444}
	}
	return all
}

// measure times f and adds the processor time of the whole process.
func measure(b *testing.B, f func(i int)) {
	var from, to unix.Rusage
	b.ResetTimer()
	_ = unix.Getrusage(unix.RUSAGE_SELF, &from) // cannot fail
	for i := range b.N {
		f(i)
	}
	_ = unix.Getrusage(unix.RUSAGE_SELF, &to)
	b.StopTimer()
	spent := to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano()
	b.ReportMetric(float64(spent)/1e3/float64(b.N), "cpu-µs/op")
}

func BenchmarkPublish(b *testing.B) {
	files := filesOf(benchFiles("1")...)
	b.Run("disk", func(b *testing.B) {
		d := newDisk(b)
		all := places(b, d, b.N)
		measure(b, func(i int) {
			if err := d.Publish(all[i], files); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("floor", func(b *testing.B) {
		d := newDisk(b)
		all := places(b, d, b.N)
		measure(b, func(i int) { floorPublish(b, all[i].Target) })
	})
}

func BenchmarkRemove(b *testing.B) {
	files := filesOf(benchFiles("1")...)
	b.Run("disk", func(b *testing.B) {
		d := newDisk(b)
		all := places(b, d, b.N)
		for _, place := range all {
			publish(b, d, place, files)
		}
		measure(b, func(i int) {
			if _, err := d.Remove(all[i]); err != nil {
				b.Fatal(err)
			}
		})
	})
	b.Run("floor", func(b *testing.B) {
		d := newDisk(b)
		all := places(b, d, b.N)
		for _, place := range all {
			floorPublish(b, place.Target)
		}
		measure(b, func(i int) { floorRemove(b, all[i].Target) })
	})
}

func BenchmarkUpdateChanged(b *testing.B) {
	versions := [2]string{"1", "2"}
	b.Run("disk", func(b *testing.B) {
		d := newDisk(b)
		place := places(b, d, 1)[0]
		publish(b, d, place, filesOf(benchFiles("0")...))
		measure(b, func(i int) { // with the sweep that follows each update
			if changed, err := d.Update(place, filesOf(benchFiles(versions[i%2])...), true); err != nil || !changed {
				b.Fatal(changed, err)
			}
		})
	})
	b.Run("floor", func(b *testing.B) { // rename a new file over each old one
		d := newDisk(b)
		dir := filepath.Join(d.kubeletDir, "mount")
		mustDo(b, os.Mkdir(dir, 0o700), unix.Mount(source, dir, "tmpfs", 0, ""))
		measure(b, func(i int) {
			files := benchFiles(versions[i%2])
			for k := 0; k < len(files); k += 2 {
				fd, err := unix.Open(dir+"/new", unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o444)
				if err != nil {
					b.Fatal(err)
				}
				_, err = unix.Write(fd, []byte(files[k+1]))
				mustDo(b, err, unix.Close(fd), unix.Rename(dir+"/new", dir+"/"+files[k]))
			}
		})
	})
}

func BenchmarkUpdateUnchanged(b *testing.B) {
	d := newDisk(b)
	place := places(b, d, 1)[0]
	files := filesOf(benchFiles("1")...)
	publish(b, d, place, files)
	measure(b, func(int) {
		if changed, err := d.Update(place, files, false); err != nil || changed {
			b.Fatal(changed, err)
		}
	})
}

func BenchmarkPublished(b *testing.B) {
	b.Run("disk", func(b *testing.B) {
		d := newDisk(b)
		place := places(b, d, 1)[0]
		publish(b, d, place, filesOf(benchFiles("1")...))
		measure(b, func(int) {
			if published, err := d.Published(place); err != nil || !published {
				b.Fatal(published, err)
			}
		})
	})
	b.Run("floor", func(b *testing.B) { // one stat of a file in the mount
		d := newDisk(b)
		place := places(b, d, 1)[0]
		publish(b, d, place, filesOf(benchFiles("1")...))
		measure(b, func(int) {
			var stat unix.Statx_t
			if err := unix.Statx(unix.AT_FDCWD, place.Target+"/"+markerName, 0, unix.STATX_TYPE, &stat); err != nil {
				b.Fatal(err)
			}
		})
	})
}
