package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
)

const (
	httpReadTime  = 5 * time.Second
	httpWriteTime = 30 * time.Second
	httpStopTime  = time.Second
	probeTime     = 2 * time.Second
)

func (s *Server) openHTTP(ctx context.Context) (service, error) {
	if s.options.HTTPAddress == "" {
		return service{}, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.options.HTTPAddress)
	if err != nil {
		return service{}, fmt.Errorf("listening on --http-address: %w", err)
	}
	server := &http.Server{Handler: s.handler(), ReadTimeout: httpReadTime, WriteTimeout: httpWriteTime}
	return service{
		name: "HTTP",
		serve: func() error {
			klog.FromContext(ctx).Info("Serving HTTP", keyAddress, listener.Addr().String())
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
		stop: func() {
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpStopTime)
			defer cancel()
			if server.Shutdown(grace) != nil {
				_ = server.Close() // a scraper that takes longer is cut off
			}
			_ = listener.Close() // closed already, unless Serve never ran
		},
	}, nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { answer(w, s.alive(r.Context())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Ready()...) })
	return mux
}

// answer writes ok, or one reason per line with status 503.
func answer(w http.ResponseWriter, reasons ...error) {
	var text string
	for _, reason := range reasons {
		if reason != nil {
			text += oneLine(reason.Error()) + "\n"
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if text == "" {
		text = "ok\n"
	} else {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write([]byte(text)) // the client has gone
}

// Ready returns every reason why the driver cannot do its work now; none
// means that it can.
func (s *Server) Ready() []error {
	var reasons []error
	for _, condition := range append([]func() error{s.registration.ready}, s.options.Ready...) {
		if err := condition(); err != nil {
			reasons = append(reasons, err)
		}
	}
	return reasons
}

// alive probes the driver through its own socket: it notices a socket that is
// gone or taken over, and a server that accepts but does not answer.
func (s *Server) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", SocketPath(s.options.Endpoint))
	}
	conn, err := grpc.NewClient("passthrough:///"+Name, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing is in flight any more
	if _, err := csi.NewIdentityClient(conn).Probe(ctx, &csi.ProbeRequest{}); err != nil {
		return fmt.Errorf("probing the CSI socket: %w", err)
	}
	return nil
}
