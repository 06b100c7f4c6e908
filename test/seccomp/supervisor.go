package seccomp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Handler decides about one system call while the thread that made it waits.
// 0 lets it pass; any other number is what it answers instead. It is called
// from one goroutine per program and may kill the caller.
type Handler func(Call) unix.Errno

// Supervisor answers for every program that its launcher starts, one after
// another or several at once.
type Supervisor struct {
	listener *net.UnixListener
	handler  Handler
	env      string
	running  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	programs map[*os.File]bool // their listeners
	failures []error
}

// Supervise waits on the socket for the launchers of program.
func Supervise(socket, program string, filter Filter, handler Handler) (*Supervisor, error) {
	text, err := json.Marshal(order{Program: program, Socket: socket, Filter: filter})
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	s := &Supervisor{listener: listener, handler: handler, env: variable + "=" + string(text), programs: map[*os.File]bool{}}
	s.running.Go(s.accept)
	return s, nil
}

// Program is the launcher: this very binary, whose main or TestMain calls
// Launch. Started with Env and the program's arguments, it becomes the program.
func (*Supervisor) Program() string { return "/proc/self/exe" }

// Env is what the launcher needs in its environment.
func (s *Supervisor) Env() []string { return []string{s.env} }

// Close stops answering and returns what went wrong meanwhile. A program that
// still runs gets ENOSYS for the calls that were asked.
func (s *Supervisor) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for program := range s.programs {
		err = errors.Join(err, program.Close())
	}
	s.mu.Unlock()
	s.running.Wait()
	return errors.Join(append(s.failures, err)...)
}

// accept takes the listener of each program until Close.
func (s *Supervisor) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			err = s.take(conn)
		}
		if err != nil {
			s.mu.Lock()
			s.failures = append(s.failures, fmt.Errorf("meeting a launcher: %w", err))
			s.mu.Unlock()
		}
	}
}

// handover is how long a launcher may take from its connection to its filter.
const handover = 30 * time.Second

func (s *Supervisor) take(conn *net.UnixConn) error {
	defer func() { _ = conn.Close() }() // one message is all it carries
	if err := conn.SetDeadline(time.Now().Add(handover)); err != nil {
		return err
	}
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("no descriptor came: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil { // for the runtime's poller
		return err
	}
	program := os.NewFile(uintptr(fds[0]), "seccomp listener")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return program.Close()
	}
	s.programs[program] = true
	s.running.Go(func() { s.answer(program) })
	return nil
}

// answer serves one program, and forgets it.
func (s *Supervisor) answer(program *os.File) {
	err := s.serve(program)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // Close ended it
	}
	delete(s.programs, program)
	if err = errors.Join(err, program.Close()); err != nil {
		s.failures = append(s.failures, err)
	}
}

// serve answers the calls of one program until it ended.
func (s *Supervisor) serve(program *os.File) error {
	raw, err := program.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var got notification
		var ended bool
		var failure error
		err := raw.Read(func(fd uintptr) bool {
			var ready bool
			ready, ended, failure = pending(int(fd))
			if !ready || ended || failure != nil {
				return ended || failure != nil
			}
			failure = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&got))
			return true
		})
		if errors.Is(failure, unix.ENOENT) || errors.Is(failure, unix.EINTR) {
			continue // the thread that called was killed, or we were interrupted
		}
		if err = errors.Join(err, failure); err != nil || ended {
			return err
		}
		call := Call{Number: int(got.number), Args: got.args, TID: int(got.pid)}
		reply := response{id: got.id}
		if errno := s.handler(call); errno != 0 {
			reply.errno = -int32(errno)
		} else {
			reply.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
		}
		err = raw.Control(func(fd uintptr) { failure = ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&reply)) })
		if errors.Is(failure, unix.ENOENT) {
			continue // the caller is gone, perhaps by the handler
		}
		if err = errors.Join(err, failure); err != nil {
			return fmt.Errorf("answering system call %d: %w", call.Number, err)
		}
	}
}

// pending looks without waiting: receiving would block a thread.
func pending(fd int) (ready, ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return false, false, err
	}
	ready = fds[0].Revents&unix.POLLIN != 0
	return ready, !ready && fds[0].Revents&unix.POLLHUP != 0, nil
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// notification is struct seccomp_notif.
type notification struct {
	id          uint64
	pid, flags  uint32
	number      int32
	arch        uint32
	instruction uint64
	args        [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}
