// Package metrics names what regcred measures, in one place. The packages
// that cause a change set it; package driver serves it.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are regcred's collectors. The zero value is not usable; see New.
type Metrics struct {
	Volumes            prometheus.Gauge
	PublishDuration    *prometheus.HistogramVec // result
	Issues             *prometheus.CounterVec   // issuer, result
	Revocations        *prometheus.CounterVec   // issuer, result
	IssueDuration      *prometheus.HistogramVec // issuer
	RenewalLag         prometheus.Histogram
	Expiry             *prometheus.GaugeVec // namespace, connector
	PendingRevocations prometheus.Gauge
	Orphans            prometheus.Counter
	UnmountBusy        prometheus.Counter
	Authorizations     *prometheus.CounterVec // result
}

// New registers the collectors with r, and the build's version.
func New(r prometheus.Registerer, version string) *Metrics {
	const ns = "regcred"
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: ns, Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: ns, Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: ns, Name: name, Help: help, Buckets: buckets}
	}
	m := &Metrics{
		Volumes:            prometheus.NewGauge(gauge("volumes", "Volumes published on this node.")),
		PublishDuration:    prometheus.NewHistogramVec(histogram("publish_duration_seconds", "Time of first publishes, by result.", prometheus.ExponentialBuckets(0.0005, 3, 12)), []string{"result"}),
		Issues:             prometheus.NewCounterVec(counter("issue_total", "Credentials asked of issuers, by result (success or the error class)."), []string{"issuer", "result"}),
		Revocations:        prometheus.NewCounterVec(counter("revoke_total", "Revocations at providers, by result."), []string{"issuer", "result"}),
		IssueDuration:      prometheus.NewHistogramVec(histogram("issue_duration_seconds", "Time an issuer takes.", prometheus.ExponentialBuckets(0.001, 3, 11)), []string{"issuer"}),
		RenewalLag:         prometheus.NewHistogram(histogram("renewal_lag_seconds", "How late renewals start after they fall due.", prometheus.ExponentialBuckets(0.001, 4, 10))),
		Expiry:             prometheus.NewGaugeVec(gauge("credential_expiry_timestamp_seconds", "When the connector's credential that ends first expires (Unix time)."), []string{"namespace", "connector"}),
		PendingRevocations: prometheus.NewGauge(gauge("pending_revocations", "Provider-side objects that wait to be deleted.")),
		Orphans:            prometheus.NewCounter(counter("orphans_total", "Volumes cleaned up because their pod was gone.")),
		UnmountBusy:        prometheus.NewCounter(counter("unmount_busy_total", "Unmounts that had to detach a busy mount.")),
		Authorizations:     prometheus.NewCounterVec(counter("authorization_total", "Authorization decisions, by result."), []string{"result"}),
	}
	build := prometheus.NewGaugeVec(gauge("build_info", "Always 1; the labels tell the build."), []string{"version"})
	build.WithLabelValues(version).Set(1)
	r.MustRegister(m.Volumes, m.PublishDuration, m.Issues, m.Revocations, m.IssueDuration, m.RenewalLag,
		m.Expiry, m.PendingRevocations, m.Orphans, m.UnmountBusy, m.Authorizations, build)
	return m
}
