// Package child starts a program, keeps what it writes and ends it by its
// process id. Each program has a process group of its own, so that Ctrl-C
// reaches only the test or demo, which then ends its children in order.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Process is a running program.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error // valid once done is closed
}

// Start runs cmd with both outputs appended to the file log. What cmd asks of
// its process beyond the group of its own is kept.
func Start(name string, cmd *exec.Cmd, log string) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &Process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is what the program wrote so far, and what earlier runs wrote into the
// same file.
func (p *Process) Log() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// Kill ends the program as a power cut would, and waits.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended meanwhile
	<-p.done
}

// Signal sends a signal that is expected to end the program, waits, and tells
// how it ended.
func (p *Process) Signal(signal syscall.Signal) *os.ProcessState {
	_ = p.cmd.Process.Signal(signal) // it may have ended meanwhile
	<-p.done
	return p.cmd.ProcessState
}

// grace is how long Stop waits for a program to end by itself.
const grace = 20 * time.Second

// Stop asks the program to end and waits. One that needs to be killed, or
// ends with an error, is an error.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	timeout := time.NewTimer(grace)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, grace)
	}
	if p.err != nil {
		return fmt.Errorf("%s after SIGTERM: %w\n%s", p.name, p.err, tail(p.Log()))
	}
	return nil
}

// Ready waits until ready answers nil. A program that ends first has failed.
func (p *Process) Ready(ctx context.Context, ready func(context.Context) error) error {
	ended, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("it ended: %w", errors.Join(p.err, errors.New("before it was ready"))))
		case <-ended.Done():
		}
	}()
	if err := Until(ended, ready); err != nil {
		return fmt.Errorf("waiting for %s: %w\n%s", p.name, err, tail(p.Log()))
	}
	return nil
}

// Until asks again and again until the answer is nil or ctx ends; the error
// then holds the last answer.
func Until(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// tail keeps the lines that matter in a message.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
