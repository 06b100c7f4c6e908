package seccomp

import (
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Filter says which system calls of a program its supervisor sees.
type Filter struct {
	// Calls are the numbers of system calls that are always asked.
	Calls []int
	// Processes asks for all that makes a process or becomes another program:
	// execve, execveat, fork, vfork, and clone unless it makes a thread. The
	// flags of clone3 lie in memory where no filter can read them, so it
	// answers ENOSYS, and callers fall back to clone.
	Processes bool
}

// Opens are the calls that open a path.
var Opens = append([]int{unix.SYS_OPENAT, unix.SYS_OPENAT2}, oldOpens...)

// Offsets in struct seccomp_data.
const (
	offNumber = 0
	offArch   = 4
	offArg0   = 16 // its lower half: both architectures are little-endian
)

// verdict is a filter's answer; the low half carries an error number.
type verdict uint32

const (
	allow  verdict = unix.SECCOMP_RET_ALLOW
	ask    verdict = unix.SECCOMP_RET_USER_NOTIF
	absent verdict = unix.SECCOMP_RET_ERRNO | verdict(unix.ENOSYS)
	kill   verdict = unix.SECCOMP_RET_KILL_PROCESS
)

// program compiles the filter to the kernel's byte code. Every test jumps over
// the one return that follows it, so no jump is far.
func (f Filter) program() []unix.SockFilter {
	code := []unix.SockFilter{
		load(offArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1},
		answer(kill), // other numbers, so the rest would mean nothing
		load(offNumber),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: foreignABI, Jf: 1},
		answer(absent),
	}
	on := func(number int, v verdict) {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(number), Jf: 1}, answer(v))
	}
	calls := slices.Clone(f.Calls)
	if f.Processes {
		calls = append(append(calls, unix.SYS_EXECVE, unix.SYS_EXECVEAT), oldForks...)
		on(unix.SYS_CLONE3, absent)
	}
	for _, number := range calls {
		on(number, ask)
	}
	if f.Processes {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_CLONE, Jf: 3},
			load(offArg0),
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: unix.CLONE_THREAD, Jt: 1},
			answer(ask))
	}
	return append(code, answer(allow))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func answer(v verdict) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(v)}
}

// install puts the filter on the calling thread, for good, and returns the
// descriptor on which the supervisor is asked.
func (f Filter) install() (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	code := f.program()
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	// With the second flag a signal, as Go sends itself to switch goroutines,
	// does not restart a call that is being answered (Linux 5.19).
	flags := []uintptr{unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}
	var failed unix.Errno
	for _, flag := range flags {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flag, uintptr(unsafe.Pointer(&program)))
		if errno == 0 {
			return int(fd), nil
		}
		failed = errno
	}
	return -1, failed
}
