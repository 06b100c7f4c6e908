package seccomp

import "golang.org/x/sys/unix"

const (
	arch       = unix.AUDIT_ARCH_AARCH64
	foreignABI = 0x40000000 // there is none; no call has such a number
)

// arm64 has only the newer calls.
var oldForks, oldOpens []int
