package expire

import (
	"github.com/prometheus/client_golang/prometheus"

	"meridian/metadata"
)

// Results of walks.
const (
	runDone       = "done"
	runIncomplete = "incomplete" // some of what was due could not be done
	runFailed     = "failed"     // it broke off, and is tried again
)

type metrics struct {
	actions, runs          *prometheus.CounterVec
	bytes, scanned, errors prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_lifecycle_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_lifecycle_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		actions: vec("actions_total", "What lifecycle rules did with versions, delete markers and uploads that were due.", "action"),
		runs:    vec("runs_total", "Walks through buckets by their lifecycle rules, by how they ended.", "result"),
		bytes:   counter("bytes_total", "Bytes of the versions that lifecycle rules removed."),
		scanned: counter("scanned_total", "Versions and delete markers that were looked at by lifecycle rules."),
		errors:  counter("errors_total", "What lifecycle rules could not do; it is tried again with the next walk."),
	}
	m.add(metadata.LifecycleCounts{})
	for _, result := range []string{runDone, runIncomplete, runFailed} {
		m.runs.WithLabelValues(result)
	}
	reg.MustRegister(m.actions, m.runs, m.bytes, m.scanned, m.errors)
	return m
}

func (m *metrics) add(n metadata.LifecycleCounts) {
	for action, count := range map[string]int64{
		"expired": n.Expired, "marker_made": n.MarkersMade, "noncurrent": n.Noncurrent, "marker_removed": n.MarkersRemoved,
		"upload": n.Uploads, "locked": n.Locked, "overtaken": n.Overtaken,
	} {
		m.actions.WithLabelValues(action).Add(float64(count))
	}
	m.bytes.Add(float64(n.Bytes))
}
