package pull

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"meridian/edge/cache"
)

// heldStream is a stream that holds in room what its readers are to read, and the cache of
// its slices, which keeps those that keeps says.
type heldStream struct {
	*Stream
	first *Reader
	body  []byte
	room  *counted

	mu     sync.Mutex
	slices map[int64][]byte
	done   chan error
}

// tenSlices are the bytes that bodies are made of.
var tenSlices = sync.OnceValue(func() []byte { return pattern(10 * cache.SliceSize) })

// counted is a room of which one can see how much is taken.
type counted struct {
	*semaphore.Weighted
	mu    sync.Mutex
	taken int64
	most  int64
}

func (c *counted) TryAcquire(n int64) bool {
	if !c.Weighted.TryAcquire(n) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken += n
	c.most = max(c.most, c.taken)
	return true
}

func (c *counted) Release(n int64) {
	c.Weighted.Release(n)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken -= n
}

// fillHeld starts a stream of so many slices, of which it is told
// the size unless that is negative.
func fillHeld(t *testing.T, slices, room int, size int64, keeps func(index int64) bool) *heldStream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	h := &heldStream{
		body: tenSlices()[10*cache.SliceSize-(slices*cache.SliceSize-5):], slices: map[int64][]byte{}, done: make(chan error, 1),
		room: &counted{Weighted: semaphore.NewWeighted(int64(room) * cache.SliceSize)},
	}
	h.Stream, h.first = NewStream(cancel, false)
	if size >= 0 {
		size = int64(len(h.body))
	}
	holding := Holding{Room: h.room, Size: size, Patience: 10 * time.Second}
	if keeps != nil {
		holding.Cached = func(index int64) bool { return h.cached(index) != nil }
	}
	h.Hold(holding)
	go func() {
		_, err := h.Fill(ctx, bytes.NewReader(h.body), size, Yield{}, func(index int64, b []byte) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if keeps != nil && keeps(index) {
				h.slices[index] = b
			}
		})
		h.done <- err
	}()
	return h
}

// end has the first reader leave, as the last one, by which all room is given back.
func (h *heldStream) end(t *testing.T) {
	t.Helper()
	h.first.Leave()
	<-h.done
	if h.room.taken != 0 {
		t.Errorf("%d bytes are still taken", h.room.taken)
	}
}

func (h *heldStream) cached(index int64) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slices[index]
}

// read reads a body as a client's request does, from the cache what is behind, with
// a pause after each slice.
func (h *heldStream) read(ctx context.Context, r *Reader, pause time.Duration) ([]byte, error) {
	got := make([]byte, 0, len(h.body))
	for len(got) < len(h.body) {
		b, err := r.Read(ctx, int64(len(got)))
		if errors.Is(err, ErrBehind) {
			if b = h.cached(int64(len(got) / cache.SliceSize)); b != nil {
				b, err = b[len(got)%cache.SliceSize:], nil
			}
		}
		if err != nil {
			return got, err
		}
		if got = append(got, b...); len(got)%cache.SliceSize == 0 {
			time.Sleep(pause)
		}
	}
	return got, nil
}

func never(int64) bool  { return false }
func always(int64) bool { return true }

// However much slower some readers are, all get all, though nothing is in the cache;
// the fastest does not wait while there is room, and the room is given back.
func TestStreamHoldsForSlowerReaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room  int
		size  int64
		keeps func(int64) bool
		waits bool
	}{
		"room for all":                {12, 0, never, false},
		"of unknown length":           {12, -1, never, false},
		"room for some":               {3, 0, never, true},
		"no room, and no cache":       {0, -1, never, true},
		"no room, all of it in cache": {0, 0, always, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := fillHeld(t, 10, c.room, c.size, c.keeps)
				began := time.Now()
				var readers sync.WaitGroup
				for _, pause := range []time.Duration{0, time.Second, 3 * time.Second} {
					r := h.first
					if pause > 0 {
						r = h.Join()
					}
					readers.Go(func() {
						defer r.Leave()
						got, err := h.read(t.Context(), r, pause)
						if err != nil || !bytes.Equal(got, h.body) {
							t.Errorf("with a pause of %v: %d bytes, %v", pause, len(got), err)
						}
						if waited := time.Since(began) > 0; pause == 0 && waited != c.waits {
							t.Errorf("the fastest took %v", time.Since(began))
						}
					})
				}
				readers.Wait()
				if err := <-h.done; err != nil {
					t.Error(err)
				}
				if h.room.taken != 0 || h.room.most > int64(c.room)*cache.SliceSize {
					t.Errorf("%d bytes are still taken, %d were", h.room.taken, h.room.most)
				}
			})
		})
	}
}

// One that takes nothing holds the others up once, where there is no room for what it
// has not read.
func TestStreamLosesWhoStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := fillHeld(t, 10, 2, 0, never)
		stuck := h.Join()
		if _, err := stuck.Read(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got, err := h.read(t.Context(), h.first, 0)
		if err != nil || !bytes.Equal(got, h.body) || time.Since(began).Round(time.Second) != 10*time.Second {
			t.Errorf("%d bytes after %v: %v", len(got), time.Since(began), err)
		}
		if _, err := stuck.Read(t.Context(), 10); !errors.Is(err, ErrBehind) {
			t.Errorf("who stood still: %v", err)
		}
		h.first.Leave()
		stuck.Leave()
		if err := <-h.done; err != nil || h.room.taken != 0 {
			t.Errorf("%v; %d bytes are still taken", err, h.room.taken)
		}
	})
}

// Who comes late gets the beginning from the cache while it is there, and else is
// told before it has read anything.
func TestStreamIsReachedLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		room  int
		keeps func(int64) bool
		want  bool
	}{
		"in the cache":           {10, always, true},
		"no room":                {2, always, false},
		"the first is gone":      {10, func(index int64) bool { return index > 0 }, false},
		"one in the middle gone": {10, func(index int64) bool { return index != 2 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := fillHeld(t, 10, c.room, 0, c.keeps)
				if _, err := h.first.Read(t.Context(), 5*cache.SliceSize); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				late := []*Reader{h.Join(), h.Join()}
				for _, r := range late {
					if got := r.Reach(h.cached); got != c.want {
						t.Errorf("reached: %v", got)
					}
				}
				h.mu.Lock()
				clear(h.slices)
				h.mu.Unlock()
				for _, r := range late {
					if c.want {
						if got, err := h.read(t.Context(), r, 0); err != nil || !bytes.Equal(got, h.body) {
							t.Errorf("%d bytes, %v", len(got), err)
						}
					}
					r.Leave()
				}
				h.end(t)
			})
		})
	}
}

// Where the cache keeps nothing, the room for all that readers may be behind by is
// taken before they begin, so that none is cut and none waits; who finds too little
// does not begin.
func TestStreamReservesRoom(t *testing.T) {
	t.Parallel()
	for room, want := range map[int]bool{8: true, 7: false} {
		synctest.Test(t, func(t *testing.T) {
			h := fillHeld(t, 10, room, 0, nil)
			synctest.Wait()
			if h.room.taken != 0 {
				t.Errorf("%d bytes are taken for one", h.room.taken)
			}
			slow, late := h.Join(), h.Join()
			for _, r := range []*Reader{slow, late} {
				if got := r.Reach(h.cached); got != want {
					t.Errorf("room for %d: reached: %v", room, got)
				}
			}
			late.Leave()
			if want {
				began := time.Now()
				if got, err := h.read(t.Context(), h.first, 0); err != nil || !bytes.Equal(got, h.body) || time.Since(began) != 0 {
					t.Errorf("the faster: %d bytes, %v after %v", len(got), err, time.Since(began))
				}
				if got, err := h.read(t.Context(), slow, 3*time.Second); err != nil || !bytes.Equal(got, h.body) {
					t.Errorf("the slower: %d bytes, %v", len(got), err)
				}
			}
			slow.Leave()
			h.end(t)
		})
	}
}

// What is let go of needs no room any more: those who read in step keep no other bodies
// from theirs.
func TestStreamReservesWhatIsToCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := fillHeld(t, 10, 8, 0, nil)
		readers := []*Reader{h.first, h.Join()}
		if !readers[1].Reach(h.cached) {
			t.Fatal("not reached")
		}
		for slice := range int64(10) {
			for _, r := range readers {
				if _, err := r.Read(t.Context(), slice*cache.SliceSize); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if most := (10 - slice) * cache.SliceSize; h.room.taken > most {
				t.Errorf("both are in slice %d, and %d bytes are taken", slice, h.room.taken)
			}
		}
		for _, r := range readers {
			r.Leave()
		}
		<-h.done
	})
}

// Whatever readers do, the room that is taken is given back, and nobody gets what is
// not of the body.
func TestStreamGivesAllRoomBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			kept := rng.Uint64()
			keeps := func(index int64) bool { return kept>>index&1 == 1 }
			if seed%2 == 0 {
				keeps = nil
			}
			h := fillHeld(t, 4+rng.IntN(6), rng.IntN(8), int64(rng.IntN(2))-1, keeps)
			var readers sync.WaitGroup
			for i := range 6 {
				takesOver := rng.IntN(2) == 0
				r, pause, start, stay := h.first, time.Duration(rng.IntN(4))*time.Second, time.Duration(rng.IntN(9))*time.Second, time.Duration(rng.IntN(60))*time.Second
				readers.Go(func() {
					if i > 0 {
						time.Sleep(start)
						if r = h.Join(); r == nil {
							return
						}
					}
					defer r.Leave()
					if !r.Reach(h.cached) {
						return
					}
					ctx, cancel := context.WithTimeout(t.Context(), stay)
					defer cancel()
					if got, err := h.read(ctx, r, pause); !bytes.HasPrefix(h.body, got) || err == nil && len(got) != len(h.body) {
						t.Errorf("seed %d: %d bytes, %v", seed, len(got), err)
					}
					if takesOver && h.Whole() {
						h.TakeOver()
					}
				})
			}
			readers.Wait()
			<-h.done
			if h.room.taken != 0 {
				t.Errorf("seed %d: %d bytes are still taken", seed, h.room.taken)
			}
		})
	}
}
