package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/cache"
)

// media are the metrics of the parts of a cache, which count by themselves.
type media struct {
	media   []Medium
	numbers []mediumNumber
}

// mediumNumber is one number of each medium.
type mediumNumber struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s *cache.Stats) int64
}

func newMedia(list []Medium, labels prometheus.Labels) *media {
	m := &media{media: list}
	add := func(kind prometheus.ValueType, name, help string, read func(*cache.Stats) int64) {
		desc := prometheus.NewDesc("meridian_cache_"+name, help, []string{"medium"}, labels)
		m.numbers = append(m.numbers, mediumNumber{desc, kind, read})
	}
	add(prometheus.GaugeValue, "entries", "Heads and slices held.", func(s *cache.Stats) int64 { return s.Entries })
	add(prometheus.GaugeValue, "held_bytes", "Bytes held.", func(s *cache.Stats) int64 { return s.Bytes })
	add(prometheus.GaugeValue, "capacity_bytes", "Bytes that may be held.", func(s *cache.Stats) int64 { return s.Capacity })
	add(prometheus.CounterValue, "medium_hits_total", "Heads and slices found in a medium.", func(s *cache.Stats) int64 { return s.Hits })
	add(prometheus.CounterValue, "medium_misses_total", "Heads and slices looked for in a medium and not found.", func(s *cache.Stats) int64 { return s.Misses })
	add(prometheus.CounterValue, "medium_puts_total", "Heads and slices offered to a medium.", func(s *cache.Stats) int64 { return s.Puts })
	add(prometheus.CounterValue, "medium_declined_total", "Heads and slices that a medium did not take.", func(s *cache.Stats) int64 { return s.Declined })
	add(prometheus.CounterValue, "medium_evictions_total", "Heads and slices that made room for others.", func(s *cache.Stats) int64 { return s.Evictions })
	return m
}

// Describe implements prometheus.Collector.
func (m *media) Describe(to chan<- *prometheus.Desc) {
	for _, n := range m.numbers {
		to <- n.desc
	}
}

// Collect implements prometheus.Collector.
func (m *media) Collect(to chan<- prometheus.Metric) {
	for _, medium := range m.media {
		stats := medium.Tier.Stats()
		for _, n := range m.numbers {
			to <- prometheus.MustNewConstMetric(n.desc, n.kind, float64(n.read(&stats)), medium.Name)
		}
	}
}
