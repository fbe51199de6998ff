// Package limit bounds how many requests at once go to each upstream, so that one
// that is slow is not given ever more of them, and what is there for all is not
// held by those who wait for one. A short queue evens bursts out; who finds it
// full, or waits in it for too long, is told at once.
package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy says that an upstream has as many requests as it may have.
var ErrBusy = errors.New("upstream has as many requests as it may have")

// Config describes a Set. Fields that are zero get a default.
type Config struct {
	Max   int           // requests at once to each upstream; negative: no limit
	Queue int           // that wait for one of them to end; negative: none
	Wait  time.Duration // for how long at most
}

// The defaults.
const (
	DefaultMax   = 1024
	DefaultQueue = 512
	DefaultWait  = time.Second
)

// Set limits requests to upstreams, each by its name. The methods of a nil Set
// limit nothing.
type Set struct {
	cfg             Config
	running         atomic.Int64
	waited, refused atomic.Int64

	mu    sync.Mutex
	slots map[string]*slots // of those that have requests
}

type slots struct {
	taken   int
	waiting []chan struct{} // first come, first served; each is told by closing
}

// New returns a Set.
func New(c Config) *Set {
	if c.Max == 0 {
		c.Max = DefaultMax
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Wait == 0 {
		c.Wait = DefaultWait
	}
	return &Set{cfg: c, slots: map[string]*slots{}}
}

// Counts are what a Set has seen since it was made, and Running how many requests
// there are now.
type Counts struct{ Running, Waited, Refused int64 }

// Counts returns the counts so far.
func (s *Set) Counts() Counts {
	if s == nil {
		return Counts{}
	}
	return Counts{Running: s.running.Load(), Waited: s.waited.Load(), Refused: s.refused.Load()}
}

// Acquire takes the place of one request to an upstream, which the caller gives
// back by calling release once. It fails with ErrBusy, or with the cause of the
// end of ctx.
func (s *Set) Acquire(ctx context.Context, upstream string) (release func(), err error) {
	if s == nil {
		return func() {}, nil
	}
	if s.cfg.Max < 0 {
		s.running.Add(1)
		return func() { s.running.Add(-1) }, nil
	}
	turn, err := s.enter(upstream)
	if err != nil {
		return nil, err
	}
	if turn != nil {
		if err := s.wait(ctx, upstream, turn); err != nil {
			return nil, err
		}
	}
	s.running.Add(1)
	return sync.OnceFunc(func() {
		s.running.Add(-1)
		s.leave(upstream)
	}), nil
}

// enter takes a place, or one in the queue: then turn is closed when it is due.
func (s *Set) enter(upstream string) (turn chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.slots[upstream]
	if at == nil {
		at = &slots{}
		s.slots[upstream] = at
	}
	switch {
	case at.taken < s.cfg.Max:
		at.taken++
		return nil, nil //nolint:nilnil // no need to wait
	case len(at.waiting) >= s.cfg.Queue:
		s.refused.Add(1)
		return nil, ErrBusy
	}
	turn = make(chan struct{})
	at.waiting = append(at.waiting, turn)
	s.waited.Add(1)
	return turn, nil
}

func (s *Set) wait(ctx context.Context, upstream string, turn chan struct{}) error {
	t := time.NewTimer(s.cfg.Wait)
	defer t.Stop()
	err := ErrBusy
	select {
	case <-turn:
		return nil
	case <-t.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.slots[upstream]
	for i, other := range at.waiting {
		if other == turn {
			at.waiting = append(at.waiting[:i:i], at.waiting[i+1:]...)
			if errors.Is(err, ErrBusy) {
				s.refused.Add(1)
			}
			return err
		}
	}
	return nil // its turn came just now
}

// leave hands a place on to who waits longest.
func (s *Set) leave(upstream string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.slots[upstream]
	if len(at.waiting) > 0 {
		close(at.waiting[0])
		at.waiting = at.waiting[1:]
		return
	}
	if at.taken--; at.taken == 0 {
		delete(s.slots, upstream)
	}
}
