// Package seccomp runs a program under a system call filter and lets a test
// answer the calls that it asked to see, by the kernel's user notification
// (seccomp_unotify(2)). The program itself knows nothing of it.
//
// A filter can only be installed by the process that it is for, so the test
// binary is the launcher too:
//
//	func TestMain(m *testing.M) {
//		seccomp.Launch() // becomes the program when a Supervisor started it
//		os.Exit(m.Run())
//	}
//
// It needs Linux ≥ 5.5 on amd64 or arm64, and neither cgo nor ptrace.
package seccomp
