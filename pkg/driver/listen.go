package driver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/connector"
)

const (
	socketMode   = 0o600
	socketParent = 0o750 // as the kubelet makes its plug-in directories
)

// listen opens a unix socket for root and this process' own user. A socket
// that nobody serves any more, as a killed driver leaves it, is replaced;
// anything else at the path is an error.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), socketParent); err != nil {
		return nil, fmt.Errorf("creating the directory of socket %s: %w", path, err)
	}
	listener, err := bind(ctx, path)
	if errors.Is(err, unix.EADDRINUSE) {
		if err = removeDead(ctx, path); err == nil {
			listener, err = bind(ctx, path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listening on socket %s: %w", path, err)
	}
	return &peerListener{Listener: listener, logger: klog.FromContext(ctx)}, nil
}

// bind sets the mode before the file exists (Linux derives the file's mode
// from the socket's), so that there is no moment at which others can connect.
func bind(ctx context.Context, path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, conn syscall.RawConn) error {
		var err error
		if controlErr := conn.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); controlErr != nil {
			return controlErr
		}
		return err
	}}
	return config.Listen(ctx, "unix", path)
}

// removeDead removes a socket that refuses connections.
func removeDead(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return connector.Errorf(connector.ErrPrecondition, "the path is taken by something that is not a socket: remove it or choose another path")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close() // it was only opened to see who is there
		return connector.Errorf(connector.ErrPrecondition, "another process serves it: stop that one first")
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// peerListener drops connections of other users. The socket's mode keeps them
// out already; this holds also where somebody changed the mode.
type peerListener struct {
	net.Listener
	logger klog.Logger
}

// Accept waits for the next connection of root or of this process' own user.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && (uid == 0 || int(uid) == os.Geteuid()) {
			return conn, nil
		}
		l.logger.Info("Refused a connection: only root may connect", keySocket, l.Addr().String(), keyUID, uid)
		_ = conn.Close() // nothing was written to it
	}
}

// peerUID asks the kernel who called connect.
func peerUID(conn net.Conn) (uint32, error) {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is not a unix connection", conn)
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(controlErr, err); err != nil {
		return 0, err
	}
	return peer.Uid, nil
}
