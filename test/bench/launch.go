package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// launchEnv makes this program prepare its surroundings and become another.
const launchEnv = "REGCRED_BENCH_LAUNCH"

// launch is what it holds.
type launch struct {
	Program string
	Cgroup  string // to enter; entering later would leave what was used before uncharged
	Apart   bool   // in a mount namespace of its own
}

// env has this program, started with it, become the other one.
func (l launch) env() []string {
	text, _ := json.Marshal(l) // strings and a bool
	return []string{launchEnv + "=" + string(text)}
}

// within has program charged to the group.
func within(g *cgroup, program string) []string {
	return launch{Program: program, Cgroup: g.Dir}.env()
}

// apart gives program a mount namespace of its own.
func apart(program string) []string { return launch{Program: program, Apart: true}.env() }

// become does as env says, and returns only errors.
func become(text string) error {
	var l launch
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return err
	}
	if l.Cgroup != "" {
		if err := os.WriteFile(filepath.Join(l.Cgroup, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	if l.Apart {
		runtime.LockOSThread() // the namespace is this thread's, which becomes the program
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
	}
	if err := os.Unsetenv(launchEnv); err != nil {
		return err
	}
	return unix.Exec(l.Program, append([]string{l.Program}, os.Args[1:]...), os.Environ())
}
