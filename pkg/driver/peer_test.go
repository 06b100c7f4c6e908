package driver

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOtherUsersAreRefused opens the socket's mode up and connects as another
// user: the kernel's word about the peer still keeps it out.
func TestOtherUsersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	opts, volumes := options(t)
	f := start(t, opts, volumes)
	socket := SocketPath(opts.Endpoint)
	for _, path := range []string{socket, filepath.Dir(socket), opts.KubeletDir, filepath.Dir(opts.KubeletDir)} { // all made by this test
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	n, err := connectAs(nobody, socket)
	if n != 0 || !(err == nil || errors.Is(err, unix.ECONNRESET)) {
		t.Errorf("read %d bytes, %v; want a closed connection", n, err)
	}
	if logs := f.logs.String(); !strings.Contains(logs, "Refused a connection") || !strings.Contains(logs, "uid=65534") {
		t.Errorf("the refusal is not logged:\n%s", logs)
	}
}

// connectAs connects from a thread that has become another user, and reads
// what a gRPC server would send first. The thread ends with its goroutine,
// because it stays locked.
func connectAs(uid uintptr, socket string) (n int, err error) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		if unix.Gettid() == unix.Getpid() {
			n, err = connectAs(uid, socket) // the first thread must stay what it is
			runtime.UnlockOSThread()
			return
		}
		n, err = connectFromHere(uid, socket)
	}()
	<-done
	return n, err
}

func connectFromHere(uid uintptr, socket string) (int, error) {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 { // this thread alone
		return 0, errno
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		return 0, errors.Join(io.ErrUnexpectedEOF, err)
	}
	buffer := make([]byte, 64)
	return unix.Read(fd, buffer)
}
