package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/internal/hop"
	"meridian/metadata/tally"
)

// writeChunk is how much is written under one deadline: a client that takes less
// than this within Config.SlowClient is cut.
const writeChunk = 64 << 10

// slowHop is by how much an edge may be slower than a client: it takes a body of a
// pull zone as fast as its own fastest client does, with a window between.
const slowHop = 20

// errClientGone says that the client took no more.
var errClientGone = errors.New("client is gone")

// A body that is being sent keeps up to two slices alive, in the cache or not, for
// as long as its client likes to take. What all of them may keep together is
// bounded: pinnedLeast and a share of the cache in memory.
const (
	pinnedLeast = 24 << 20
	pinnedShare = 8
	// copied is how much a body holds, in a copy, for which nothing was left.
	copied = 128 << 10
)

// source reads the slices of a body in order, each fetched while the one before
// is being written. It holds two at a time, more where the client is faster than
// upstream (see readAhead), or, where too much is held already, a
// copy of the piece that is being written and nothing else: a slice that is
// evicted meanwhile is fetched again.
type source struct {
	x    *exchange
	head *httpcache.Head
	// given is a slice that is had already; givenHeld says that it was held
	// before the request came.
	given      []byte
	givenIndex int64
	givenHeld  bool

	pinned int64  // bytes of Node.pins
	copy   []byte // nil unless pieces are copied

	readAhead
}

type fetched struct {
	piece *piece
	err   error
	took  time.Duration
}

// source returns the slices that some ranges of a body are made of.
func (x *exchange) source(f *found, ranges ...httpcache.Range) *source {
	s := &source{x: x, head: f.head, givenIndex: -1, readAhead: readAhead{depth: 1}}
	if f.filled != nil && f.filled.body != nil {
		s.given, s.givenIndex = f.filled.body, f.filled.index
	}
	if need := pinning(s.head.Size, ranges); need > copied && !s.head.Inline && x.r.Method == http.MethodGet {
		if x.n.pins.TryAcquire(need) {
			s.pinned = need
		} else {
			s.copy = make([]byte, copied)
			x.n.metrics.copied.Inc()
		}
	}
	return s
}

// pinning is how many bytes of slices ranges of a body of size bytes keep alive at a
// time: a slice that a node asks for, of which there are many at once, is one.
func pinning(size int64, ranges []httpcache.Range) (need int64) {
	for _, r := range ranges {
		first, last := r.Start/cache.SliceSize, (r.End()-1)/cache.SliceSize
		need = max(need, sliceLength(size, first))
		if first < last {
			need = max(need, sliceLength(size, first)+sliceLength(size, first+1))
		}
	}
	return need
}

// close returns when nothing is being fetched ahead any more; the context that it
// was asked for under has ended.
func (s *source) close() {
	for len(s.pending) > 0 {
		s.next()
	}
	s.x.n.pins.Release(s.pinned)
}

// slice returns a slice, and whether it was held before the request came.
func (s *source) slice(ctx context.Context, index int64) (b []byte, held bool, err error) {
	if index == s.givenIndex {
		return s.given, s.givenHeld, nil
	}
	if len(s.pending) > 0 && s.pending[0].index == index {
		return s.took(s.next())
	}
	if b := s.cached(ctx, index); b != nil {
		return b, true, nil
	}
	return s.took(s.fetch(ctx, index))
}

// hold gets the slice that will be written first.
func (s *source) hold(ctx context.Context, index int64) error {
	b, held, err := s.slice(ctx, index)
	if err == nil {
		s.given, s.givenIndex, s.givenHeld = b, index, held
	}
	return err
}

// tellSum tells the sum of a range that lies within the slice had already.
func (s *source) tellSum(to http.Header, r httpcache.Range) {
	start := r.Start - s.givenIndex*cache.SliceSize
	if s.givenIndex >= 0 && start >= 0 && start+r.Length <= int64(len(s.given)) {
		to.Set(hop.Sum, hop.SumOf(s.given[start:start+r.Length]))
	}
}

// cached is a slice that is held; none is of what came for a key.
func (s *source) cached(ctx context.Context, index int64) []byte {
	if s.x.customer != nil {
		return nil
	}
	return s.x.n.cachedSlice(ctx, s.x.object, s.head, index)
}

func (s *source) fetch(ctx context.Context, index int64) fetched {
	began := s.x.n.now()
	if s.x.customer != nil {
		p, err := s.x.sliceWithKey(ctx, s.head, index)
		return fetched{p, err, s.x.n.now().Sub(began)}
	}
	p, err := s.x.n.fetchSlice(ctx, s.x.object, s.head, index, manner{fromPeer: s.x.fromPeer})
	return fetched{p, err, s.x.n.now().Sub(began)}
}

// took accounts for a slice that had to be fetched: the request is a miss.
func (s *source) took(f fetched) ([]byte, bool, error) {
	if f.err == nil && f.piece.held {
		return f.piece.bytes, true, nil
	}
	s.x.took += f.took
	if s.x.customer == nil {
		s.x.sample.Result = tally.Miss
	}
	if f.err != nil {
		return nil, false, f.err
	}
	s.x.deepen(f.piece.depth)
	return f.piece.bytes, false, nil
}

// write sends length bytes of the body from offset on.
func (s *source) write(ctx context.Context, w *clientWriter, offset, length int64) error {
	end := offset + length
	s.looked = offset / cache.SliceSize
	used := int64(-1) // the slice noted last
	for offset < end {
		index := offset / cache.SliceSize
		b, held, err := s.slice(ctx, index)
		if err != nil {
			return err
		}
		if index != used && !s.x.ahead && s.x.customer == nil {
			s.x.n.usedSlice(s.x.object, s.head, index, held)
			used = index
		}
		base := index * cache.SliceSize
		if index == s.givenIndex {
			s.given, s.givenIndex = nil, -1 // not needed twice: two slices at a time
		}
		if int64(len(b)) <= offset-base {
			return fmt.Errorf("slice %d is too short: %w", index, errVersionGone)
		}
		part := b[offset-base : min(int64(len(b)), end-base)]
		if s.copy != nil {
			part = s.copy[:copy(s.copy, part)]
		}
		s.prefetch(ctx, index, (end-1)/cache.SliceSize)
		if err := w.write(part, held); err != nil {
			return err
		}
		offset += int64(len(part))
	}
	return nil
}

// clientWriter writes to the client under deadlines of progress, and counts.
type clientWriter struct {
	x    *exchange
	ctrl *http.ResponseController
}

func (x *exchange) writer() *clientWriter {
	return &clientWriter{x: x, ctrl: http.NewResponseController(x.w)}
}

func (c *clientWriter) write(b []byte, held bool) error {
	for len(b) > 0 {
		// Not every ResponseWriter has deadlines; those of real connections do.
		patience := c.x.n.cfg.SlowClient
		if c.x.hopped {
			patience *= slowHop
		}
		_ = c.ctrl.SetWriteDeadline(time.Now().Add(patience))
		n, err := c.x.w.Write(b[:min(len(b), writeChunk)])
		c.x.sample.Bytes += int64(n)
		if held {
			c.x.sample.HitBytes += int64(n)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errClientGone, err)
		}
		b = b[n:]
	}
	return nil
}

// done takes the deadline off, for the next request of the connection.
func (c *clientWriter) done() { _ = c.ctrl.SetWriteDeadline(time.Time{}) }
