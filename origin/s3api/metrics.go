package s3api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/internal/hop"
	"meridian/metadata"
)

// metrics are what Prometheus learns of the endpoint.
type metrics struct {
	requests *prometheus.CounterVec   // op, code
	duration *prometheus.HistogramVec // op
	received prometheus.Counter
	sent     prometheus.Counter
	running  prometheus.Gauge
}

func newMetrics(region string, reg prometheus.Registerer) *metrics {
	labels := prometheus.Labels{"region": region}
	bytes := func(direction string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_s3_bytes_total", Help: "Bytes of bodies, by direction.",
			ConstLabels: prometheus.Labels{"region": region, "direction": direction},
		})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_s3_requests_total", Help: "Requests by operation and error code; the code of a success is OK.",
			ConstLabels: labels,
		}, []string{"op", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_s3_request_duration_seconds", Help: "Time from the request's header to the end of the answer.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}, []string{"op"}),
		received: bytes("in"),
		sent:     bytes("out"),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_s3_requests_running", Help: "Requests in progress.", ConstLabels: labels,
		}),
	}
	reg.MustRegister(m.requests, m.duration, m.received, m.sent, m.running)
	return m
}

// observe counts a request that has ended.
func (c *call) observe(result code) {
	if result == "" {
		result = "OK"
	}
	c.metrics.running.Dec()
	c.metrics.requests.WithLabelValues(c.opName(), string(result)).Inc()
	c.metrics.duration.WithLabelValues(c.opName()).Observe(time.Since(c.w.start).Seconds())
	if c.who.node && c.op != nil && c.op.access == readObject && c.r.Header.Get(hop.RequestApplied) != "" {
		c.sample.Bucket, c.sample.Bytes = c.bucket, c.w.bytes
		c.sample.FirstByte, c.sample.Status = c.w.first, c.w.status
		if c.r.Method == http.MethodHead {
			c.sample.Bytes = 0
		}
		if c.sample.Class == "" {
			c.sample.Class = metadata.ClassOther
		}
		c.opts.Observe(c.sample)
	}
}
