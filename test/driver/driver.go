// Package driver runs the csi-driver binary as a node does, and looks at it
// from outside: its log, its metrics, what the kernel says of the process.
package driver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/regcred/csi-driver-regcred/test/child"
)

// Config says where the driver works.
type Config struct {
	Dir        string // for its socket, state and log; exists
	KubeletDir string // exists
	Connectors string // folder of manifests, exists
	// Flags are added to those that every run has.
	Flags []string
	// Program runs the driver; the default is csi-driver, found in PATH. Env is
	// added to its environment.
	Program string
	Env     []string
	// EndsWithParent has the kernel kill the driver when the test process ends,
	// however it does: for tests that leave no orphan when they are killed. The
	// threads of such a test must not end before it.
	EndsWithParent bool
}

// Driver is a csi-driver that can be killed and started again.
type Driver struct {
	config  Config
	http    string
	process *child.Process
}

// Start runs the driver and waits until it is ready.
func Start(ctx context.Context, c Config) (*Driver, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, http: address}
	return d, d.Start(ctx)
}

// Start runs a driver again that was killed or stopped.
func (d *Driver) Start(ctx context.Context) error {
	cmd := exec.Command(cmp.Or(d.config.Program, "csi-driver"), d.arguments()...)
	cmd.Env = append(os.Environ(), d.config.Env...)
	if d.config.EndsWithParent {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	}
	process, err := child.Start("csi-driver", cmd, filepath.Join(d.config.Dir, "driver.log"))
	if err != nil {
		return err
	}
	d.process = process
	ready := func(ctx context.Context) error { _, err := d.Page(ctx, "/readyz"); return err }
	if err := process.Ready(ctx, ready); err != nil {
		process.Kill()
		return err
	}
	return nil
}

func (d *Driver) arguments() []string {
	return append([]string{
		"node", "--connectors-dir=" + d.config.Connectors, "--kubelet-dir=" + d.config.KubeletDir, "--endpoint=" + d.Endpoint(),
		"--state-dir=" + d.StateDir(), "--runtime-dir=" + d.RuntimeDir(), "--node-id=n1",
		"--http-address=" + d.http, "--audit-log=" + d.auditLog(),
	}, d.config.Flags...)
}

// Command is the command line, as one would type it.
func (d *Driver) Command() string {
	return "csi-driver " + strings.Join(d.arguments(), " \\\n    ")
}

// PID is the process id of the present run.
func (d *Driver) PID() int { return d.process.PID() }

// Done is closed when the present run has ended.
func (d *Driver) Done() <-chan struct{} { return d.process.Done() }

// Kill ends the driver as kill -9 does.
func (d *Driver) Kill() { d.process.Kill() }

// Stop ends the driver as the kubelet ends a container; leaving an error or
// not ending is an error.
func (d *Driver) Stop() error { return d.process.Stop() }

// Signal sends a signal that is expected to end the driver, waits, and tells
// how it ended.
func (d *Driver) Signal(signal syscall.Signal) *os.ProcessState { return d.process.Signal(signal) }

// Endpoint is the CSI socket as gRPC names it.
func (d *Driver) Endpoint() string { return "unix://" + filepath.Join(d.config.Dir, "csi.sock") }

// StateDir is where records without secrets lie.
func (d *Driver) StateDir() string { return filepath.Join(d.config.Dir, "state") }

// RuntimeDir is the driver's private memory.
func (d *Driver) RuntimeDir() string { return filepath.Join(d.config.Dir, "run") }

func (d *Driver) auditLog() string { return filepath.Join(d.config.Dir, "audit.log") }

// Log is everything that the driver wrote, across restarts.
func (d *Driver) Log() string { return d.process.Log() }

// Audit is the audit log: one map per line.
func (d *Driver) Audit() ([]map[string]any, error) {
	content, err := os.ReadFile(d.auditLog())
	if err != nil {
		return nil, err
	}
	var records []map[string]any
	for line := range strings.Lines(string(content)) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			return nil, fmt.Errorf("audit line %q: %w", line, err)
		}
		records = append(records, record)
	}
	return records, nil
}

// Metric returns the value of one time series, written as Prometheus shows it,
// such as regcred_issue_total{issuer="secret",result="success"}.
func (d *Driver) Metric(ctx context.Context, series string) (float64, error) {
	text, err := d.Page(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", series)
}

// Descriptors lists what the driver has open, by what each descriptor is:
// a path, or the kind of a nameless one.
func (d *Driver) Descriptors() ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/fd", d.process.PID())
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue // closed between the two calls
		}
		if err != nil {
			return nil, err
		}
		open = append(open, target)
	}
	return open, nil
}

// Page is what the driver answers on HTTP; any status but 200 is an error
// beside the text.
func (d *Driver) Page(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.http+path, nil)
	if err != nil {
		return "", err
	}
	req.Close = true // an idle connection would count as a descriptor of the driver
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", path, resp.Status, strings.TrimSpace(string(body)))
	}
	return string(body), err
}

// used are the ports that this process has given away.
var used atomic.Int32

// freeAddress finds an address that nobody else takes while the driver is
// started again: on a loopback address of this process' own, a port below those
// that the kernel gives to connections, each once.
func freeAddress() (string, error) {
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)
	for range 50 {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(10000+int(used.Add(1))%20000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no free port")
}
