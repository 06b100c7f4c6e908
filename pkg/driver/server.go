package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"
)

const (
	// maxRequest is far more than a pod with a hundred tokens needs, and
	// bounds what is read before a request can be refused.
	maxRequest = 1 << 20
	// connectTime bounds the handshake of a connection on a local socket.
	connectTime = 10 * time.Second
	// stopTime is how long a running call may take to end at shutdown. What is
	// cut off then is asked again by the kubelet, of the successor.
	stopTime = 5 * time.Second
	// workers are goroutines that stay from call to call, with stacks that have
	// grown already. Calls beyond their number get goroutines of their own.
	workers = 16
)

// Server serves CSI, registers with the kubelet and tells its health.
type Server struct {
	options      Options
	node         *node
	identity     *identity
	registration *registration
}

// New checks the options. Its error joins every mistake.
func New(options Options) (*Server, error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	return &Server{
		options:  options,
		identity: &identity{version: options.Version},
		node: &node{
			volumes: options.Volumes,
			id:      options.NodeID,
			rules: rules{
				kubeletDir:      options.KubeletDir,
				tokenSource:     options.TokenSource,
				requirePodToken: options.RequirePodToken,
			},
		},
		registration: &registration{endpoint: options.announced()},
	}, nil
}

// service is one listener's life.
type service struct {
	name  string
	serve func() error // returns nil after stop
	stop  func()       // returns when nothing is served any more
}

// Run serves until ctx ends or a listener fails, and returns when everything
// has ended and every socket is removed. At the end the registration goes
// first, so that the kubelet sends nothing new, and HTTP last, so that the
// end can be watched.
func (s *Server) Run(ctx context.Context) error {
	services, err := s.open(ctx)
	if err != nil {
		return err
	}
	return run(ctx, services)
}

// run serves until ctx ends or a service fails, then stops the last first.
func run(ctx context.Context, services []service) (err error) {
	failures := make(chan error, len(services))
	var running sync.WaitGroup
	for _, service := range services {
		running.Go(func() {
			if err := service.serve(); err != nil {
				failures <- fmt.Errorf("serving %s: %w", service.name, err)
			}
		})
	}
	select {
	case <-ctx.Done():
	case err = <-failures:
	}
	for _, service := range slices.Backward(services) {
		service.stop()
	}
	running.Wait()
	return err
}

// open binds every listener, in the order in which they start: the kubelet
// dials the CSI socket as soon as it sees the registration.
func (s *Server) open(ctx context.Context) ([]service, error) {
	var services []service
	for _, open := range []func(context.Context) (service, error){s.openHTTP, s.openCSI, s.openRegistration} {
		opened, err := open(ctx)
		if err != nil {
			for _, service := range services {
				service.stop()
			}
			return nil, err
		}
		if opened.serve != nil {
			services = append(services, opened)
		}
	}
	return services, nil
}

func (s *Server) openCSI(ctx context.Context) (service, error) {
	more := []grpc.ServerOption{grpc.NumStreamWorkers(workers)}
	if told := s.options.Crowded; told != nil {
		more = append(more, grpc.ChainUnaryInterceptor((&crowd{told: told}).pass))
	}
	server := newServer(logCalls(klog.FromContext(ctx)), more...)
	csi.RegisterIdentityServer(server, s.identity)
	csi.RegisterNodeServer(server, s.node)
	return openGRPC(ctx, "CSI", SocketPath(s.options.Endpoint), server)
}

func (s *Server) openRegistration(ctx context.Context) (service, error) {
	socket := s.options.registrationSocket()
	if socket == "" {
		return service{}, nil
	}
	return openGRPC(ctx, "the registration", socket, s.registration.server(logCalls(klog.FromContext(ctx))))
}

// newServer makes a gRPC server for a local socket. Keepalive is left off: the
// kernel tells when a local peer has gone.
func newServer(calls grpc.UnaryServerInterceptor, more ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(more,
		grpc.UnaryInterceptor(calls),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.ConnectionTimeout(connectTime),
		grpc.WaitForHandlers(true),
	)...)
}

func openGRPC(ctx context.Context, name, socket string, server *grpc.Server) (service, error) {
	listener, err := listen(ctx, socket)
	if err != nil {
		server.Stop() // its workers wait already
		return service{}, err
	}
	return service{
		name: name,
		serve: func() error {
			klog.FromContext(ctx).Info("Serving "+name, keySocket, socket)
			err := server.Serve(listener)
			if errors.Is(err, grpc.ErrServerStopped) {
				return nil // stopped before it began
			}
			return err
		},
		stop: func() {
			stopWithin(server, stopTime)
			_ = listener.Close() // closed already, unless Serve never ran
		},
	}, nil
}

// stopWithin lets running calls end, and cancels those that take longer. It
// returns when all handlers have.
func stopWithin(server *grpc.Server, limit time.Duration) {
	timer := time.AfterFunc(limit, server.Stop)
	defer timer.Stop()
	server.GracefulStop()
}
