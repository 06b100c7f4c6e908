package seccomp_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/regcred/csi-driver-regcred/test/seccomp"
)

// programVariable makes this binary the program under the filter.
const programVariable = "REGCRED_SECCOMP_PROGRAM"

func TestMain(m *testing.M) {
	seccomp.Launch()
	if what := os.Getenv(programVariable); what != "" {
		fmt.Println(program(what))
		return
	}
	os.Exit(m.Run())
}

// program does one thing and says how it went.
func program(what string) error {
	verb, path, _ := strings.Cut(what, " ")
	switch verb {
	case "execute":
		return exec.Command(path).Run()
	case "thread": // a thread is no process
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { _ = unix.Access(path, unix.R_OK) })
		}
		all.Wait()
		return nil
	default:
		_, err := os.ReadFile(path)
		return err
	}
}

func TestSupervisor(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		do     string
		answer unix.Errno
		want   string
		opened string
		forks  bool
	}{
		"an open is seen":          {do: "open " + file, want: "<nil>", opened: file},
		"an open is refused":       {do: "open " + file, answer: unix.EMFILE, want: "open " + file + ": too many open files", opened: file},
		"a process is seen":        {do: "execute /bin/true", want: "<nil>", forks: true},
		"a process is refused":     {do: "execute /bin/true", answer: unix.EPERM, want: "fork/exec /bin/true: operation not permitted", forks: true},
		"a thread is no process":   {do: "thread " + file, answer: unix.EPERM, want: "<nil>"},
		"a file that is not there": {do: "open " + file + "x", want: "open " + file + "x: no such file or directory", opened: file + "x"},
	} {
		t.Run(name, func(t *testing.T) {
			var opened []string
			var forks int
			started := false
			s, err := seccomp.Supervise(filepath.Join(t.TempDir(), "s"), os.Args[0], seccomp.Filter{Calls: seccomp.Opens, Processes: true},
				func(c seccomp.Call) unix.Errno {
					if !slices.Contains(seccomp.Opens, c.Number) {
						if !started { // the launcher's own
							started = true
							return 0
						}
						forks++
						return test.answer
					}
					path, err := c.Opened()
					if err != nil {
						t.Error(err)
					}
					if !strings.HasPrefix(path, dir) {
						return 0
					}
					opened = append(opened, path)
					return test.answer
				})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(s.Program())
			cmd.Env = append(append(os.Environ(), programVariable+"="+test.do), s.Env()...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(strings.NewReader(string(out)))
			if !lines.Scan() || lines.Text() != test.want {
				t.Errorf("the program says %q, want %q", out, test.want)
			}
			if (forks > 0) != test.forks {
				t.Errorf("%d calls for processes were seen", forks)
			}
			if got := strings.Join(slices.Compact(opened), " "); got != test.opened {
				t.Errorf("opened %q, want %q", got, test.opened)
			}
		})
	}
}
