package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests    *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	subscribers prometheus.Gauge
	events      prometheus.Counter
	cut         *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_api_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "meridian_api_request_seconds", Help: "Time to answer, streams apart.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"route"}),
		subscribers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_feed_subscribers", Help: "Open streams of the feed.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_feed_events_total", Help: "Events of the feed that this process has followed.",
		}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_feed_streams_ended_total", Help: "Streams of the feed that ended, by reason.",
		}, []string{"reason"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.subscribers, m.events, m.cut)
	return m
}

func (m *metrics) observe(rt route, method string, status int, took time.Duration) {
	name := rt.path
	if name == "" { // no route: neither paths nor methods may become labels
		name, method = "none", "none"
	}
	m.requests.WithLabelValues(name, method, strconv.Itoa(status)).Inc()
	if !rt.stream {
		m.seconds.WithLabelValues(name).Observe(took.Seconds())
	}
}
