package seccomp

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// variable holds the order for the launcher.
const variable = "REGCRED_SECCOMP"

// order is what a supervisor tells its launcher.
type order struct {
	Program string
	Socket  string // where the supervisor waits for the listener
	Filter  Filter
}

// Launch returns at once, unless a Supervisor started this process as the
// launcher of a program: then it puts the filter in force and becomes that
// program, and never returns.
func Launch() {
	text, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	fmt.Fprintln(os.Stderr, "seccomp launcher:", launch(text))
	os.Exit(127) // as a shell does that cannot run a command
}

// launch returns only errors.
func launch(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	program, err := exec.LookPath(o.Program)
	if err != nil {
		return err
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: o.Socket, Net: "unix"})
	if err != nil {
		return err
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, variable+"=") {
			env = append(env, e)
		}
	}
	// The filter is on this thread alone; execve ends all others and makes
	// this one the process.
	runtime.LockOSThread()
	listener, err := o.Filter.install()
	if err != nil {
		return fmt.Errorf("installing the filter: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(listener), nil); err != nil {
		return fmt.Errorf("handing the listener over: %w", err)
	}
	return unix.Exec(program, append([]string{program}, os.Args[1:]...), env)
}
