package fetch

import (
	"slices"
	"sync"
	"time"

	"meridian/edge/balance"
)

const (
	// sampleCount fetches of a node are remembered, and enoughSamples are needed
	// before they mean anything.
	sampleCount   = 128
	enoughSamples = 20
	// sampleAge is how long a node's fetches mean anything after the last one.
	sampleAge = time.Minute
	// shortestDelay is how long a fetch may always take: less is noise.
	shortestDelay = 10 * time.Millisecond
)

// latencies knows how long recent fetches took, by node.
type latencies struct {
	mu    sync.Mutex
	nodes map[string]*samples
}

type samples struct {
	group int
	took  []time.Duration // a ring, once full
	next  int
	last  time.Time
	p95   time.Duration // of took; zero where it must be found out
}

func newLatencies() *latencies { return &latencies{nodes: map[string]*samples{}} }

func (l *latencies) add(n balance.Node, now time.Time, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.nodes[n.ID]
	if s == nil {
		s = &samples{group: n.Group}
		l.nodes[n.ID] = s
	}
	s.last = now
	if len(s.took) < sampleCount {
		s.took = append(s.took, took)
	} else {
		s.took[s.next] = took
	}
	if s.next = (s.next + 1) % sampleCount; s.next%16 == 0 {
		s.p95 = 0
	}
}

// patience is how long a fetch from a node of the group may take before it is
// late: the 95th percentile of what such fetches take, of the middle node where
// they differ, so that one slow node does not make slowness the rule. ok is
// false while too little is known.
func (l *latencies) patience(group int, now time.Time) (d time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var known []time.Duration
	for id, s := range l.nodes {
		if now.Sub(s.last) > sampleAge {
			delete(l.nodes, id)
			continue
		}
		if s.group == group && len(s.took) >= enoughSamples {
			known = append(known, s.percentile())
		}
	}
	if len(known) == 0 {
		return 0, false
	}
	slices.Sort(known)
	return max(known[(len(known)-1)/2], shortestDelay), true
}

// percentile is recent, not exact: it is found out anew every 16 fetches.
func (s *samples) percentile() time.Duration {
	if s.p95 == 0 {
		sorted := slices.Sorted(slices.Values(s.took))
		s.p95 = max(sorted[len(sorted)*95/100], 1)
	}
	return s.p95
}
