package state

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const swapsHeading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

// pretendSwaps shows another /proc/swaps in this test's mount namespace.
func pretendSwaps(t *testing.T, content string) {
	t.Helper()
	file := t.TempDir() + "/swaps"
	must(t, os.WriteFile(file, []byte(content), 0o600))
	must(t, unix.Mount(file, "/proc/swaps", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount("/proc/swaps", unix.MNT_DETACH)) })
}

func TestSwapWarnings(t *testing.T) {
	for name, test := range map[string]struct {
		foreign bool // the tmpfs was mounted by somebody else, with swap
		swaps   string
		warns   bool
	}{
		"own tmpfs, swap on":      {swaps: swapsHeading + "/dev/sda2 partition 1 0 -2\n", warns: inUserNamespace(t)},
		"own tmpfs, swap off":     {swaps: swapsHeading},
		"foreign tmpfs, swap on":  {foreign: true, swaps: swapsHeading + "/dev/sda2 partition 1 0 -2\n", warns: true},
		"foreign tmpfs, swap off": {foreign: true, swaps: swapsHeading},
		"no swap in the kernel":   {foreign: true, swaps: ""},
	} {
		t.Run(name, func(t *testing.T) {
			pretendSwaps(t, test.swaps)
			options := directories(t)
			if test.foreign {
				mountSmallTmpfs(t, options.RuntimeDir, "mode=0700")
			}
			s := open(t, options)
			var want []string
			if test.warns {
				want = []string{"credentials in " + options.RuntimeDir + " may reach a swap device: swap is on and its tmpfs has no noswap, " +
					"which needs Linux 6.4 and a mount from outside of user namespaces: turn swap off or encrypt it"}
			}
			if diff := cmp.Diff(want, s.Warnings()); diff != "" {
				t.Errorf("at the first start (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, reopen(t, s).Warnings()); diff != "" {
				t.Errorf("after a restart (-want +got):\n%s", diff)
			}
		})
	}
}
