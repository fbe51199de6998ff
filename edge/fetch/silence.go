package fetch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// errSilent says that an upstream did not answer within Timeouts.Header.
var errSilent = errors.New("upstream sent no header in time")

// hearing knows when each node was heard of last: the header of an answer, or bytes
// of a body.
type hearing struct {
	began time.Time
	nodes sync.Map // of *atomic.Int64, nanoseconds since began, by ID
}

func newHearing() *hearing { return &hearing{began: time.Now()} }

// of returns where what is heard of a node is noted.
func (h *hearing) of(node string) *heard {
	v, ok := h.nodes.Load(node)
	if !ok {
		v, _ = h.nodes.LoadOrStore(node, &heard{began: h.began})
	}
	return v.(*heard)
}

// heard is when a node was heard of last.
type heard struct {
	began time.Time
	last  atomic.Int64 // since began; zero is never
}

func (h *heard) note() { h.last.Store(int64(time.Since(h.began))) }

// quiet is for how long nothing was heard.
func (h *heard) quiet() time.Duration { return time.Since(h.began) - time.Duration(h.last.Load()) }

// silence ends an attempt at a node whose header does not come.
type silence struct {
	mu    sync.Mutex
	timer *time.Timer // nil once the header is there
}

// await has cancel called when no header has come within limit, or, where from is
// not nil, when for that long nothing at all has come from the node: one that has
// much to answer is late, and not gone. The attempt's deadline holds all the same.
func await(limit time.Duration, from *heard, cancel context.CancelCauseFunc) *silence {
	s := &silence{}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(limit, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer == nil {
			return
		}
		if from != nil {
			if left := limit - from.quiet(); left > 0 {
				s.timer.Reset(left)
				return
			}
		}
		cancel(errSilent)
	})
	return s
}

// broken says that the header has come, or that nobody waits for it any more.
func (s *silence) broken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.timer = nil
}
