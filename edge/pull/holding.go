package pull

import (
	"context"
	"time"

	"meridian/edge/cache"
)

// maxExtra is how many slices a stream holds beyond those that arrived last.
const maxExtra = 16

// pollRoom is how often a stream that waits for room looks whether there is some.
const pollRoom = 100 * time.Millisecond

// Room is what the memory for slices is taken from.
type Room interface {
	TryAcquire(bytes int64) bool
	Release(bytes int64)
}

// Holding says how a stream holds what slower readers have yet to come to.
type Holding struct {
	Room Room
	Size int64 // of the body; negative: not known
	// Cached reports whether a slice is in the cache, where readers look for it, and
	// will stay there: where there is no room it is let go of. It is nil where the
	// cache keeps nothing for so long.
	Cached func(index int64) bool
	// Patience is how long the stream waits for the slowest of its readers where a
	// slice is not in the cache, and there is no room for it. Whoever has not come
	// past it by then loses it.
	Patience time.Duration
}

// Hold has the stream hold what its readers have yet to come to. It is for a body of
// which no piece can be asked for again, and called before Fill.
func (s *Stream) Hold(h Holding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holding = &h
}

// Reach reports whether one who has joined can be sure of all of the body. Where the
// stream holds nothing for those who are behind, it can. Else there must be room for
// what others may be ahead by, as far as one knows, and what was let go of before it
// came must come back, of which cached returns the slices, or nil.
func (r *Reader) Reach(cached func(index int64) []byte) bool {
	s := r.stream
	s.mu.Lock()
	r.lost = false // it has read nothing yet
	holding, gone, fits, reserved := s.holding, s.first, s.extra+s.first <= maxExtra, s.reserve()
	s.mu.Unlock()
	if !reserved {
		return false
	}
	if holding == nil || gone == 0 {
		return true
	}
	if !fits || !holding.Room.TryAcquire(gone*cache.SliceSize) {
		return false
	}
	back := make([][]byte, 0, gone)
	for index := range gone {
		if b := cached(index); b != nil {
			back = append(back, b)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.extra += gone; int64(len(back)) < gone || s.first != gone {
		s.giveBack(gone)
		return s.first == 0 // another one has brought it back
	}
	s.parts, s.first = append(back, s.parts...), 0
	return true
}

// reserve takes the room for all that is to come, where its size is known and it will
// not be in the cache. It reports whether there was enough.
func (s *Stream) reserve() bool {
	h := s.holding
	if h == nil || h.Cached != nil || h.Size < 0 || s.err != nil {
		return true
	}
	if more := s.toCome() - s.reserved; more > 0 {
		if !h.Room.TryAcquire(more * cache.SliceSize) {
			return false
		}
		s.reserved += more
	}
	return true
}

// toCome is how many slices there will have to be places for, if none is let go of
// from now on.
func (s *Stream) toCome() int64 {
	return max(0, (s.holding.Size+cache.SliceSize-1)/cache.SliceSize-s.first-s.window-s.extra)
}

// unreserve gives back what reserve has taken and is not to come any more: all of it
// when the readers are one, who is never behind, or the body has ended.
func (s *Stream) unreserve() {
	if s.reserved == 0 {
		return
	}
	var kept int64
	if len(s.readers) > 1 && s.err == nil {
		kept = min(s.reserved, s.toCome())
	}
	s.holding.Room.Release((s.reserved - kept) * cache.SliceSize)
	s.reserved = kept
}

// needed reports, under the lock, whether somebody has yet to read of a slice.
func (s *Stream) needed(index int64) bool {
	for r := range s.readers {
		if r.needs(index) {
			return true
		}
	}
	return false
}

// letGo forgets the first slice. The place it had is free.
func (s *Stream) letGo() {
	s.parts, s.first = append([][]byte(nil), s.parts[1:]...), s.first+1
}

// giveBack gives the room for slices back.
func (s *Stream) giveBack(slices int64) {
	if slices > 0 {
		s.extra -= slices
		s.holding.Room.Release(slices * cache.SliceSize)
	}
}

// trim lets go of what was held for readers who have read it, or have left.
func (s *Stream) trim() {
	for s.extra > 0 && !s.needed(s.first) {
		if int64(len(s.parts)) == s.window+s.extra {
			s.letGo()
		}
		s.giveBack(1)
	}
	s.wake()
}

// makePlace lets go of a slice, or takes room for one more than there are, under the
// lock.
func (s *Stream) makePlace(ctx context.Context) error {
	var poll *time.Ticker // for room that others give back
	began := time.Now()
	for int64(len(s.parts)) == s.window+s.extra {
		h := s.holding
		switch {
		case h == nil || !s.needed(s.first):
			s.letGo()
			s.unreserve()
			return nil
		case s.reserved > 0:
			s.reserved--
			s.extra++
			return nil
		case s.extra < maxExtra && h.Room.TryAcquire(cache.SliceSize):
			s.extra++
			return nil
		case time.Since(began) >= h.Patience:
			s.lose(s.first)
			s.trim()
			continue
		}
		if poll == nil {
			poll = time.NewTicker(pollRoom)
			defer poll.Stop()
		}
		first, changed := s.first, s.changed
		s.mu.Unlock()
		var err error
		cached := h.Cached != nil && h.Cached(first)
		if !cached {
			select {
			case <-changed:
			case <-poll.C:
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
		if cached && s.first == first && int64(len(s.parts)) == s.window+s.extra {
			s.letGo()
			return nil
		}
	}
	return nil
}

// lose gives up those who have yet to read of a slice.
func (s *Stream) lose(index int64) {
	for r := range s.readers {
		r.lost = r.lost || r.needs(index)
	}
}

// TakeOver has the stream hold what arrived last in the room of its Holding, and
// reports whether that was there: then the room that a Fill was given is free again.
func (s *Stream) TakeOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(len(s.parts)) - s.extra
	if s.holding == nil || s.first == dropped || !s.holding.Room.TryAcquire(n*cache.SliceSize) {
		return false
	}
	s.window, s.extra = 0, s.extra+n
	s.trim()
	return true
}
