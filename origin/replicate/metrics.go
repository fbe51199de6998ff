package replicate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
)

// Results of copies.
const (
	copied = "copied"
	failed = "failed"
	gone   = "gone" // the version went before
	lost   = "lost" // another process took it over, or nobody wants it
)

type metrics struct {
	objects, size, lag, failing, running prometheus.Gauge
	copies, bytes                        *prometheus.CounterVec
}

func newMetrics(region string, reg prometheus.Registerer) *metrics {
	constant := prometheus.Labels{"region": region}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_replication_" + name, Help: help, ConstLabels: constant})
	}
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_replication_" + name, Help: help, ConstLabels: constant}, []string{label})
	}
	m := &metrics{
		objects: gauge("backlog_objects", "Copies that the region has yet to make."),
		size:    gauge("backlog_bytes", "Bytes of the copies that the region has yet to make."),
		lag:     gauge("lag_seconds", "How long the oldest copy that the region has yet to make has been waiting."),
		failing: gauge("failing_objects", "Copies that wait for another try."),
		running: gauge("running", "Copies that this process is making."),
		copies:  counter("copies_total", "Copies that ended, by how they did.", "result"),
		bytes:   counter("bytes_total", "Bytes copied, by the region they came from.", "from"),
	}
	for _, result := range []string{copied, failed, gone, lost} {
		m.copies.WithLabelValues(result)
	}
	reg.MustRegister(m.objects, m.size, m.lag, m.failing, m.running, m.copies, m.bytes)
	return m
}

func (m *metrics) set(b metadata.Backlog) {
	m.objects.Set(float64(b.Objects))
	m.size.Set(float64(b.Bytes))
	m.failing.Set(float64(b.Failing))
	lag := 0.0
	if !b.Oldest.IsZero() {
		lag = max(0, time.Since(b.Oldest).Seconds())
	}
	m.lag.Set(lag)
}
