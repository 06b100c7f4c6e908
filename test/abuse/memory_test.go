package abuse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// published starts a driver whose volumes hold the canary as a password, in
// every configuration. With GOTRACEBACK=crash, Go writes the most that it can
// and then dumps core.
func published(t *testing.T, program string, c canary) *node {
	t.Helper()
	n := start(t, setup{
		program:   program,
		manifests: map[string]string{"all": basicAuth("basic", c.text) + connectorOf("basic", `secret: {name: basic}`)},
		flags:     []string{"--v=10"}, env: []string{"GOTRACEBACK=crash"},
	})
	for rival, configurations := range everyConfiguration("basic") {
		v := asksFor("basic", "job-"+rival, configurations)
		must(t, n.publish(v))
		if diff := cmp.Diff(loginsAt("registry.example.com")(rival), n.holding(v, c)); diff != "" {
			t.Fatalf("%s: files with the password (-want +got):\n%s", rival, diff)
		}
	}
	return n
}

// A crash leaves no image of the memory, whatever the limit for core files,
// and its stack traces no secret. A program without that care shows that this
// machine does write cores.
func TestCrashLeavesNoCore(t *testing.T) {
	program := product(t)
	for _, signal := range []syscall.Signal{syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGQUIT, syscall.SIGTRAP} {
		t.Run(signal.String(), func(t *testing.T) {
			c := newCanary("password")
			dir := t.TempDir()
			t.Chdir(dir) // where cores go that have no path
			careless := exec.CommandContext(t.Context(), "/bin/sleep", "60")
			must(t, careless.Start())
			must(t, unlimitedCore(careless.Process.Pid))
			must(t, careless.Process.Signal(signal))
			if err := careless.Wait(); err == nil {
				t.Error("the careless program ended well")
			}
			dumps := careless.ProcessState.Sys().(syscall.WaitStatus).CoreDump()

			n := published(t, program, c)
			must(t, unlimitedCore(n.driver.PID()))
			status, ok := n.driver.Signal(signal).Sys().(syscall.WaitStatus)
			if !ok || status.CoreDump() {
				t.Errorf("the driver dumped core: %v", status)
			}
			if !status.Signaled() {
				t.Errorf("the driver did not crash: %v", status)
			}
			t.Logf("a program without protection dumps core here: %v", dumps)
			n.onDisk().free(t, "crashed", []canary{c})
			for _, file := range glob(t, filepath.Join(dir, "*")) {
				content, err := os.ReadFile(file)
				must(t, err)
				if found := c.find(content); len(found) > 0 {
					t.Errorf("%s holds the password (%s)", filepath.Base(file), found[0])
				}
			}
		})
	}
}

func unlimitedCore(pid int) error {
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, &limit, nil); err != nil {
		// In a user namespace the hard limit stays; the soft one may reach it.
		if err := unix.Prlimit(pid, unix.RLIMIT_CORE, nil, &limit); err != nil {
			return err
		}
		limit.Cur = limit.Max
		return unix.Prlimit(pid, unix.RLIMIT_CORE, &limit, nil)
	}
	return nil
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	must(t, err)
	return found
}

// looks are the ways to another process' memory and environment.
func looks(pid int, address uintptr) map[string]error {
	look := map[string]error{}
	for _, name := range []string{"fd/1", "root", "cwd", "exe"} {
		_, look["/proc/PID/"+name] = os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
	}
	for _, name := range []string{"mem", "environ", "maps"} {
		file, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		if err == nil {
			if name == "environ" || name == "maps" { // these refuse at the read
				_, err = file.Read(make([]byte, 1))
				if errors.Is(err, io.EOF) {
					err = errors.New("nothing to read")
				}
			}
			_ = file.Close() // it was only opened to see whether that is allowed
		}
		look["/proc/PID/"+name] = err
	}
	buffer := make([]byte, 8)
	local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
	_, look["process_vm_readv"] = unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: address, Len: 8}}, 0)
	look["ptrace"] = unix.PtraceSeize(pid)
	if look["ptrace"] == nil {
		_ = unix.PtraceDetach(pid) // it ends with the process anyway
	}
	return look
}

// mapped is an address that the process has.
func mapped(t *testing.T, pid int) uintptr {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	must(t, err)
	var address uintptr
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, " r--p ") || strings.Contains(line, " rw-p ") {
			_, err = fmt.Sscanf(line, "%x", &address)
			break
		}
	}
	must(t, err)
	return address
}

// No other user reads the driver's memory; root does, which is why it finds
// the password: a node's root is trusted, as docs/security.md says.
func TestMemoryIsClosedToOthers(t *testing.T) {
	if _, err := os.Stat("/proc/self/uid_map"); err != nil {
		t.Fatal(err)
	}
	n := published(t, product(t), newCanary("password"))
	address := mapped(t, n.driver.PID())
	for name, err := range looks(n.driver.PID(), address) {
		if err != nil {
			t.Errorf("root: %s: %v: the look itself is broken, so a refusal would prove nothing", name, err)
		}
	}
	done := make(chan map[string]error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its identity
		if err := becomeNobody(); err != nil {
			done <- map[string]error{"becoming another user": nil}
			t.Error(err)
			return
		}
		done <- looks(n.driver.PID(), address)
	}()
	for name, err := range <-done {
		if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
			t.Errorf("another user: %s: %v, want a refusal", name, err)
		}
	}
}

// becomeNobody makes this thread one without any right. Where there is but one
// user, in a user namespace, it only loses root's capabilities.
func becomeNobody() error {
	const nobody = 65534
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody)
	if errno != 0 && errno != unix.EINVAL {
		return fmt.Errorf("setresuid: %w", errno)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}
