package edge

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/fetch"
	"meridian/edge/limit"
	"meridian/metadata/tally"
)

// results is how many results there are.
const results = tally.Pass + 1

// metrics are the node's own, on the registry of its process.
type metrics struct {
	requests *prometheus.CounterVec // by bucket, class, result
	bytes    *prometheus.CounterVec // likewise
	buckets  labelSet
	latency  [results]prometheus.Observer
	refused  prometheus.Counter
	fills    *prometheus.CounterVec // by kind: head, slice; and outcome: ok, error
	copied   prometheus.Counter
	ahead    prometheus.Counter
	kept     prometheus.Gauge
	warmed   prometheus.Counter
	lag      prometheus.Gauge
	// peerRequests are those of other edges of the region, by result; they are in
	// none of the others.
	peerRequests *prometheus.CounterVec
	// aheadRequests are those that edges made ahead of clients; likewise.
	aheadRequests *prometheus.CounterVec
	turnWaits     *prometheus.HistogramVec // by who is asked, and outcome
}

func newMetrics(n *Node) (*metrics, error) {
	labels := prometheus.Labels{"region": n.cfg.Region, "tier": n.cfg.Tier}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels}, by)
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels}, value)
	}
	requests := counter("requests_total", "Requests answered, by how.", "bucket", "class", "result")
	bytes := counter("bytes_total", "Bytes of bodies sent, by how the request was answered.", "bucket", "class", "result")
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meridian_cache_first_byte_seconds", Help: "Time to the first byte of an answer.", ConstLabels: labels,
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10),
	}, []string{"result"})
	refused := prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_cache_refused_total", Help: "Requests refused before the cache was asked.", ConstLabels: labels})
	m := &metrics{
		requests: requests, bytes: bytes,
		refused: refused,
		fills:   counter("fills_total", "Requests to the next tier, by what was asked for and how it went.", "kind", "outcome"),
		ahead: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_cache_slices_ahead_total",
			Help: "Slices fetched for clients faster than upstream, beyond the next one of each body.", ConstLabels: labels}),
		copied: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_cache_bodies_copied_total",
			Help: "Bodies sent by copies of their pieces, since slow clients held as many slices as they may.", ConstLabels: labels}),
		warmed: prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_cache_warmed_bytes_total",
			Help: "Bytes of bodies fetched since somebody asked for them to be there (POST /v1/warm).", ConstLabels: labels}),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_cache_kept",
			Help: "Heads and slices that the cache holds on to, since the region asks for them often.", ConstLabels: labels}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_cache_feed_lag_seconds",
			Help: "How old the event applied last was when it was applied.", ConstLabels: labels}),
		aheadRequests: counter("ahead_requests_total", "Requests of edges that fetch ahead, by how they were answered.", "result"),
		peerRequests:  counter("peer_requests_total", "Requests of other edges of the region, by how they were answered.", "result"),
	}
	m.turnWaits = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "meridian_cache_turn_wait_seconds", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1e-3, 4, 9),
		Help: "How long slices waited for others of their bucket to be answered, of those that had to, by who is asked and outcome: ok, error (nothing was answered), left (nobody wanted it any more).",
	}, []string{"asked", "outcome"})
	for r := range results {
		m.latency[r] = latency.WithLabelValues(r.String())
	}
	asked := func(name, help string, value func(fetch.Counts) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value(n.fetcher.Counts())) })
	}
	limited := func(name, help string, value func(limit.Counts) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value(n.limits.Counts())) })
	}
	collectors := []prometheus.Collector{
		requests, bytes, latency, refused, m.fills, m.copied, m.ahead, m.kept, m.warmed, m.lag, m.peerRequests,
		n.ahead.pieces, n.ahead.bytes, m.aheadRequests,
		asked("retries_total", "Requests to another upstream after one failed.", func(c fetch.Counts) int64 { return c.Retries }),
		asked("retries_refused_total", "Requests to another upstream that the retry budget did not allow.", func(c fetch.Counts) int64 { return c.Refused }),
		asked("hedges_total", "Requests to a second upstream while the first was late.", func(c fetch.Counts) int64 { return c.Hedges }),
		asked("hedges_won_total", "Requests to a second upstream that it answered first.", func(c fetch.Counts) int64 { return c.HedgesWon }),
		limited("upstream_waits_total", "Requests to an upstream that waited for others to it to end.", func(c limit.Counts) int64 { return c.Waited }),
		limited("upstream_refused_total", "Requests to an upstream that were not made, since it had as many as it may have.", func(c limit.Counts) int64 { return c.Refused }),
		gauge("upstream_requests", "Requests to upstreams, and origins of pull zones, under way.", func() float64 { return float64(n.limits.Counts().Running) }),
		newMedia(n.cfg.Media, labels),
		gauge("indexed_heads", "Heads that purges can find.", func() float64 { return float64(n.index.Len()) }),
		gauge("lease_seconds", "How long heads may still be served without asking upstream.", func() float64 { return max(0, n.lease.remaining().Seconds()) }),
	}
	collectors = append(collectors, m.turnWaits)
	collectors = append(collectors, turnGauges("upstream", n.turns, labels)...)
	if n.peers != nil {
		collectors = append(collectors, turnGauges("peer", n.peerTurns, labels)...)
		n.peers.asked = counter("peer_fetches_total", "Requests to other edges of the region, by peer and whether it held what was asked for.", "peer", "result")
		collectors = append(collectors, n.peers.asked)
	}
	for _, c := range collectors {
		if err := n.cfg.Registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// turnGauges tell of the slices that ask, or wait to.
func turnGauges(asked string, turns *fetch.Turns, labels prometheus.Labels) []prometheus.Collector {
	labels = maps.Clone(labels)
	labels["asked"] = asked
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meridian_cache_" + name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) })
	}
	return []prometheus.Collector{
		gauge("turns_taken", "Slices of objects that are being asked for, so many of each bucket at most, by who is asked.", func() int {
			taken, _ := turns.Total()
			return taken
		}),
		gauge("turns_waiting", "Slices of objects that wait for others of their bucket to be answered, by who is asked.", func() int {
			_, waiting := turns.Total()
			return waiting
		}),
	}
}

// waited notes how a wait for a turn ended.
func (m *metrics) waited(asked string, took time.Duration, err error) {
	outcome := "ok"
	switch {
	case err == nil:
	case fetch.IsTimeout(err):
		outcome = "error"
	default:
		outcome = "left"
	}
	m.turnWaits.WithLabelValues(asked, outcome).Observe(took.Seconds())
}

func (m *metrics) count(s *tally.Sample) {
	bucket := m.buckets.label(s.Bucket)
	m.requests.WithLabelValues(bucket, s.Class, s.Result.String()).Inc()
	m.bytes.WithLabelValues(bucket, s.Class, s.Result.String()).Add(float64(s.Bytes))
	m.latency[s.Result].Observe(s.FirstByte.Seconds())
}

// labelSet bounds the values of a label: those seen first keep their names, the
// rest share one, so that buckets by the thousand do not fill memory and
// dashboards. The hit report tells all of them apart.
type labelSet struct {
	mu   sync.RWMutex
	seen map[string]struct{}
}

const (
	maxLabels  = 200
	otherLabel = "_other"
)

func (l *labelSet) label(value string) string {
	l.mu.RLock()
	_, known := l.seen[value]
	full := len(l.seen) >= maxLabels
	l.mu.RUnlock()
	switch {
	case known:
		return value
	case full:
		return otherLabel
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]struct{}{}
	}
	l.seen[value] = struct{}{}
	return value
}
