package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/regcred/csi-driver-regcred/pkg/audit"
	"github.com/regcred/csi-driver-regcred/pkg/connector"
	"github.com/regcred/csi-driver-regcred/pkg/credentials"
	"github.com/regcred/csi-driver-regcred/pkg/driver"
	"github.com/regcred/csi-driver-regcred/pkg/issuers"
	"github.com/regcred/csi-driver-regcred/pkg/metrics"
	"github.com/regcred/csi-driver-regcred/pkg/source/files"
	"github.com/regcred/csi-driver-regcred/pkg/state"
	"github.com/regcred/csi-driver-regcred/pkg/tmpfs"
	"github.com/regcred/csi-driver-regcred/pkg/volume"
)

func (p Program) node() *cobra.Command {
	var o nodeOptions
	cmd := &cobra.Command{
		Use:   "node --connectors-dir DIR",
		Short: "Serve CSI volumes on this node",
		Long: `node serves the CSI Node service on a Unix socket, publishes volumes with
registry credentials below the kubelet's directory and keeps them fresh. It
needs root, or a user namespace with a mount namespace of its own.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			policy, err := o.check()
			if err != nil {
				return err
			}
			return p.runNode(cmd.Context(), o, policy, cmd.OutOrStdout())
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// runNode wires the packages and serves until ctx ends.
func (p Program) runNode(ctx context.Context, o nodeOptions, policy issuers.Policy, stdout io.Writer) (err error) {
	if err := logAt(o.verbosity); err != nil {
		return err
	}
	if err := guardMemory(); err != nil {
		return err
	}
	keepHeapRoom()
	logger := klog.FromContext(ctx)
	source, err := p.load(ctx, o.manifests) // before anything is mounted
	if err != nil {
		return err
	}
	auditOut, err := openAudit(o.auditLog, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, auditOut.Close()) }()
	store, err := state.Open(ctx, state.Options{StateDir: o.stateDir, RuntimeDir: o.runtimeDir})
	if err != nil {
		return err
	}
	clean := false
	defer func() { err = errors.Join(err, store.Close(clean)) }()
	disk, err := tmpfs.New(tmpfs.Options{
		KubeletDir: o.kubeletDir, Reserved: []string{o.stateDir, o.runtimeDir, driver.SocketPath(o.endpoint)},
		Program: o.helper.file(), ProgramDir: store.ProgramDir(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	if store.Rebooted() {
		logger.Info("The node was booted since the driver last ran here; what pods of before had is ended")
	}
	for _, warning := range append(store.Warnings(), disk.Warning()) {
		if warning != "" {
			logger.Info("Warning", "detail", warning)
		}
	}

	n, err := p.parts(o, policy, source, store, disk, audit.NewLog(auditOut, func(err error) {
		logger.Error(err, "Writing an audit record failed")
	}))
	if err != nil {
		return err
	}
	if err := n.recover(ctx); err != nil {
		logger.Error(err, "Some of what an earlier run left could not be read")
	}
	err = n.run(ctx)
	if n.volumes.Idle() && n.credentials.Idle() {
		undone := disk.RemoveProgram()
		clean, err = undone == nil, errors.Join(err, undone)
	}
	return err
}

// parts are the running pieces of a node, lowest first.
type parts struct {
	source      *files.Source
	credentials *credentials.Manager
	volumes     *volume.Manager
	server      *driver.Server
}

func (p Program) parts(o nodeOptions, policy issuers.Policy, source *files.Source, store *state.Store, disk *tmpfs.Disk, log *audit.Log) (*parts, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	measured := metrics.New(registry, p.Version)
	leases, err := p.credentials(source, policy, credentials.Options{
		Credentials: store.Credentials(), Intents: store.Intents(), Audit: log, Metrics: measured,
		NamePrefix: namePrefix(o.clusterID, o.nodeID), Linger: o.linger,
	})
	if err != nil {
		return nil, err
	}
	n := &parts{source: source, credentials: leases}
	n.volumes, err = volume.New(volume.Options{
		Connectors: n.source, Authorizer: everyone{}, Objects: n.source, Leases: n.credentials, Disk: disk,
		Records: store.Volumes(), Events: logEvents{}, Audit: log, Metrics: measured,
	})
	if err != nil {
		return nil, err
	}
	n.credentials.Subscribe(n.volumes)
	n.source.Subscribe(func(change connector.Change) {
		n.credentials.Changed(change)
		n.volumes.SourceChanged(change)
	})
	server := o.server()
	server.Volumes, server.Gatherer, server.Version = n.volumes, registry, p.Version
	server.Crowded = processors()
	n.server, err = driver.New(server)
	return n, err
}

// recover takes over what an earlier run left, before the socket opens.
func (n *parts) recover(ctx context.Context) error {
	return errors.Join(n.credentials.Load(), n.volumes.Recover(ctx))
}

// run keeps every part running until ctx ends or one fails, and stops them
// from the top down: what is above may need what is below to finish.
func (n *parts) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	below := context.WithoutCancel(ctx)
	var stops []func() error
	for _, part := range []func(context.Context) error{n.source.Run, n.credentials.Run, n.volumes.Run} {
		stops = append(stops, background(below, part, stop))
	}
	errs := []error{n.server.Run(ctx)}
	for _, stop := range slices.Backward(stops) {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// background runs a part; the function it returns ends the part and waits. A
// part that fails by itself ends the others through failed.
func background(ctx context.Context, part func(context.Context) error, failed context.CancelCauseFunc) func() error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		err := part(ctx)
		if err != nil {
			failed(err)
		}
		done <- err
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// everyone is the Authorizer of standalone mode, where there is nobody to ask:
// who may reach the socket may use what the owner consents to.
type everyone struct{}

// Authorize implements volume.Authorizer.
func (everyone) Authorize(context.Context, connector.Subject, connector.Ref) error { return nil }

// logEvents is the Events of standalone mode.
type logEvents struct{}

// Event implements volume.Events.
func (logEvents) Event(s connector.Subject, warning bool, reason, message string) {
	klog.Background().Info("Event", "pod", klog.KRef(s.Namespace, s.Pod), "warning", warning, "reason", reason, "message", message)
}

// logAt sets up klog, the only logger. Go's own writes to nowhere: net/http
// quotes there what a server sends unasked.
func logAt(verbosity int) error {
	log.SetOutput(io.Discard)
	f := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(f)
	return f.Set("v", strconv.Itoa(verbosity))
}

// guardMemory keeps credentials out of core dumps and away from processes of
// the same user that would attach.
func guardMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}

// openAudit opens the audit log for appending.
func openAudit(path string, stdout io.Writer) (io.WriteCloser, error) {
	if path == stdoutAudit {
		return keepOpen{stdout}, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return file, nil
}

type keepOpen struct{ io.Writer }

// Close leaves the writer to its owner.
func (keepOpen) Close() error { return nil }

// namePrefix starts the name of every object that this node makes at a
// provider, short enough for what providers accept.
func namePrefix(clusterID, nodeID string) string {
	short := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:4])
	}
	return "regcred-" + short(clusterID) + "-" + short(nodeID)
}
