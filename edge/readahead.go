package edge

import (
	"context"
)

// What is read ahead of all bodies together, beyond one slice of each, is
// bounded: aheadLeast slices and a share of the cache.
const (
	maxAhead   = 8 // slices of one body
	aheadLeast = 16
	aheadShare = 64
)

// readAhead is the slices of a body that are fetched before they are wanted: one
// at first, and twice as many each time that the client had to wait for one, up to
// maxAhead. A client that takes its time so costs no more than two slices, while
// one that is faster than a single request upstream, over a long way say, gets as
// many at a time as keep it busy. Nothing is asked for that the client did not.
type readAhead struct {
	depth   int64
	looked  int64     // the last slice that was asked for or seen to be held
	pending []reading // in order
}

// reading is a slice that is being fetched, or was.
type reading struct {
	index int64
	done  chan fetched
	extra bool // has a place of Node.reading
}

// next waits for the first pending slice. Whoever has to wait gets more ahead.
func (s *source) next() fetched {
	a := s.pending[0]
	s.pending = s.pending[1:]
	var f fetched
	select {
	case f = <-a.done:
	default:
		s.depth = min(2*s.depth, maxAhead)
		f = <-a.done
	}
	if a.extra {
		s.x.n.reading.Release(1)
	}
	return f
}

// prefetch begins to fetch what will be wanted after slice index, of which last
// is the last. Each is looked for in the cache once.
func (s *source) prefetch(ctx context.Context, index, last int64) {
	if s.copy != nil {
		return
	}
	for i := max(index, s.looked) + 1; i <= min(last, index+s.depth); i++ {
		if i == s.givenIndex || s.cached(ctx, i) != nil {
			s.looked = i
			continue
		}
		extra := len(s.pending) > 0
		if extra && !s.x.n.reading.TryAcquire(1) {
			return
		}
		if extra {
			s.x.n.metrics.ahead.Inc()
		}
		done := make(chan fetched, 1)
		s.looked, s.pending = i, append(s.pending, reading{i, done, extra})
		go func() { done <- s.fetch(ctx, i) }()
	}
}
