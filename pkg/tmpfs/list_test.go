package tmpfs

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAListingIsWholeWhateverSignalsCome: the kernel ends a read of a directory
// early when a signal is pending, and Go's scheduler sends many.
func TestAListingIsWholeWhateverSignalsCome(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("listing", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	const files = 6
	for i := range files {
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stop atomic.Bool
	var signals sync.WaitGroup
	signals.Go(func() {
		for !stop.Load() {
			_ = unix.Kill(os.Getpid(), unix.SIGURG) // the runtime takes it for its own
		}
	})
	defer signals.Wait()
	defer stop.Store(true)
	for range 20_000 {
		fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		names, err := list(fd)
		shut(fd)
		if err != nil || len(names) != files {
			t.Fatalf("%d names, %v", len(names), err)
		}
	}
}
