package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
)

// Results of deliveries.
const (
	resultDelivered = "delivered"
	resultFailed    = "failed"  // it is tried again
	resultDead      = "dead"    // it was given up
	resultDropped   = "dropped" // it found the queue full
)

type metrics struct {
	deliveries   *prometheus.CounterVec
	queued, dead *prometheus.GaugeVec
	oldest       *prometheus.GaugeVec
	took, lag    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "meridian_webhook_" + name, Help: help}, []string{"webhook"})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "meridian_webhook_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(0.005, 4, 10)})
	}
	m := &metrics{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_webhook_deliveries_total", Help: "Tries to tell a webhook of an event, by how they ended.",
		}, []string{"webhook", "result"}),
		queued: gauge("queued", "Deliveries that wait."),
		dead:   gauge("dead", "Deliveries that were given up and are kept for a while."),
		oldest: gauge("oldest_seconds", "How long the oldest delivery has been waiting."),
		took:   seconds("request_seconds", "How long requests to webhooks took."),
		lag:    seconds("lag_seconds", "Time from when a delivery was queued to when it was made."),
	}
	reg.MustRegister(m.deliveries, m.queued, m.dead, m.oldest, m.took, m.lag)
	return m
}

func (m *metrics) set(w *metadata.Webhook) {
	m.queued.WithLabelValues(w.ID).Set(float64(w.Queued))
	m.dead.WithLabelValues(w.ID).Set(float64(w.Dead))
	waiting := 0.0
	if w.Oldest != nil {
		waiting = max(0, time.Since(*w.Oldest).Seconds())
	}
	m.oldest.WithLabelValues(w.ID).Set(waiting)
}

func (m *metrics) forget(id string) {
	for _, g := range []*prometheus.GaugeVec{m.queued, m.dead, m.oldest} {
		g.DeleteLabelValues(id)
	}
}

func (m *metrics) clear() {
	for _, g := range []*prometheus.GaugeVec{m.queued, m.dead, m.oldest} {
		g.Reset()
	}
}
