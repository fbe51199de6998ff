package edge

import (
	"errors"
	"io"
	"sync"
	"time"

	"meridian/edge/balance"
	"meridian/edge/cache"
	"meridian/edge/pull"
)

// stallTime is how long a body that a node stopped sending speaks against it,
// whatever headers it sends.
const stallTime = 30 * time.Second

// stalls are the regional nodes that stopped in the middle of a body of a pull zone.
// One whose disk hangs goes on to send headers: were each a sign of health it would
// stay in, and every body stall. What fetch does for slices of objects.
type stalls struct {
	mu    sync.Mutex
	since map[string]time.Time // of the last one, by node
}

func (s *stalls) note(node string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since == nil {
		s.since = map[string]time.Time{}
	}
	s.since[node] = now
}

func (s *stalls) clear(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.since, node)
}

func (s *stalls) lately(node string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.since[node]
	return ok && now.Sub(last) < stallTime
}

// followed is a body of a regional node, of which the balancer hears when it stalls:
// as of an attempt of its own, since that for the header has ended.
type followed struct {
	io.ReadCloser
	n     *Node
	node  balance.Node
	began time.Time
	read  int64
	told  bool
}

func (f *followed) Read(p []byte) (int, error) {
	k, err := f.ReadCloser.Read(p)
	f.read += int64(k)
	if err == nil || f.told {
		return k, err
	}
	f.told = true
	switch {
	case errors.Is(err, pull.ErrStalled):
		now := f.n.now()
		f.n.flights.stalls.note(f.node.ID, now)
		f.n.upstreams.Begin(f.node)
		f.n.upstreams.Report(f.node, now.Sub(f.began), err)
	case errors.Is(err, io.EOF) && f.read >= cache.SliceSize:
		f.n.flights.stalls.clear(f.node.ID)
	}
	return k, err
}
