package seccomp

import "golang.org/x/sys/unix"

const (
	arch       = unix.AUDIT_ARCH_X86_64
	foreignABI = 0x40000000 // x32's bit: the same calls under other numbers
)

var (
	oldForks = []int{unix.SYS_FORK, unix.SYS_VFORK}
	oldOpens = []int{unix.SYS_OPEN, unix.SYS_CREAT}
)
