package edge

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
)

const (
	// fillBuffers bounds the bytes of bodies held for readers while they arrive, and
	// until those who read them then have done so: one half is for bodies that come
	// in slices, the other for the rest. Bodies beyond it are passed on and not kept.
	fillBuffers = 64 << 20
	// roomTime is how long a body waits for those of slow readers to make room, and
	// slowTime how long those readers of a body that cannot be asked for by the
	// slice must have taken nothing to be cut for it.
	roomTime = 100 * time.Millisecond
	slowTime = 10 * time.Second
)

// room is what a body was admitted to.
type room struct {
	of    *semaphore.Weighted
	bytes int64
	yield pull.Yield
}

// admit decides whether a body is brought in for all, and takes the room for it.
func (p *plan) admit(ctx context.Context, h *httpcache.Head) (r room, ok bool) {
	if !h.Storable || h.Size > maxWhole && !sliceable(h) {
		return room{}, false
	}
	fs := p.visit.n.flights
	r = room{of: fs.others, bytes: 2 * cache.SliceSize, yield: pull.Yield{After: slowTime}}
	if h.Size >= 0 {
		r.bytes = min(r.bytes, h.Size)
	}
	if sliceable(h) { // who reads slowly goes on slice by slice
		r.of, r.yield.After = fs.buffers, 0
	}
	wait, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	if fs.acquire(wait, r.of, r.bytes) != nil {
		return room{}, false
	}
	fs.mu.Lock()
	r.yield.Asked = fs.yield
	fs.mu.Unlock()
	return r, true
}

// acquire takes buffers, which those give back for it who can do without.
func (fs *flights) acquire(ctx context.Context, of *semaphore.Weighted, n int64) error {
	if of.TryAcquire(n) {
		return nil
	}
	fs.makeRoom()
	return of.Acquire(ctx, n)
}

// makeRoom has all bodies that wait for their readers give back the buffers that
// they can do without.
func (fs *flights) makeRoom() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	close(fs.yield)
	fs.yield = make(chan struct{})
}

// linger gives room back when nobody reads any more what it was taken for, or when
// it is wanted and readers find the rest among slices, or have it held elsewhere.
func (fs *flights) linger(s *pull.Stream, r room) {
	asked := r.yield.Asked
	if s.Len() <= httpcache.MaxInline {
		asked = nil // it is in no slice
	}
	fs.wg.Go(func() {
		defer r.of.Release(r.bytes)
		select {
		case <-s.Left():
		case <-asked:
			fs.giveUp(s, r)
		case <-fs.quit:
		}
	})
}

// roomyCache is how many times as large as a body a cache in memory is that will not
// evict it while slow clients read it.
const roomyCache = 64

// holding is how a body that cannot be asked for again is held for those who are
// behind.
func (v *visit) holding(h *httpcache.Head) pull.Holding {
	held := pull.Holding{Room: v.n.pins, Size: h.Size, Patience: slowTime}
	size := h.Size
	if size < 0 {
		size = maxWhole
	}
	if v.n.cfg.Media[0].Tier.Stats().Capacity >= roomyCache*size {
		held.Cached = func(index int64) bool {
			return v.n.holds(cache.Key{Class: cache.Slice, Name: sliceName(v.object, h.VersionID, index)})
		}
	}
	return held
}

// giveUp does without the room of a body that has come, of which some readers have
// yet to read the end. Those who could not ask for it again are given time.
func (fs *flights) giveUp(s *pull.Stream, r room) {
	if s.TakeOver() {
		return
	}
	t := time.NewTimer(r.yield.After)
	defer t.Stop()
	select {
	case <-t.C:
		s.Drop()
	case <-s.Left():
	case <-fs.quit:
	}
}
