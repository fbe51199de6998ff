package cachetest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"meridian/edge/cache"
)

// track is what is known of a key that one goroutine writes and others delete
// and read. The numbers only grow.
type track struct {
	put     atomic.Uint64 // put, and Put has returned
	deleted atomic.Uint64 // put before a Delete that has returned
}

// deleteIsAnOrder deletes against a stream of Puts: what was put before a Delete
// is not seen after it.
func (s *suite) deleteIsAnOrder(t *testing.T, c *tier) {
	k := key(cache.Head, 1)
	var tr track
	ctx, stop := context.WithCancel(t.Context())
	var writing, others sync.WaitGroup
	writing.Go(func() {
		for seq := uint64(1); seq <= 2000; seq++ {
			c.put(k, value(k, seq, int(seq%3)*1000))
			tr.put.Store(seq)
		}
	})
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				tr.delete(c, k)
				tr.check(t, c, k)
			}
		})
	}
	writing.Wait()
	stop()
	others.Wait()
	tr.delete(c, k)
	c.missing(k, "after the last Delete")
}

func (tr *track) delete(c *tier, k cache.Key) {
	before := tr.put.Load()
	c.del(k)
	for {
		old := tr.deleted.Load()
		if old >= before || tr.deleted.CompareAndSwap(old, before) {
			return
		}
	}
}

// check gets the key and fails if its value is one that nobody may see any more.
func (tr *track) check(t *testing.T, c *tier, k cache.Key) {
	put, deleted := tr.put.Load(), tr.deleted.Load()
	v, ok := c.get(k)
	if !ok {
		return
	}
	switch seq := sequence(t, k, v); {
	case seq <= deleted && deleted > 0:
		t.Errorf("%q: value %d is seen after a Delete of %d", k.Name, seq, deleted)
	case seq < put:
		t.Errorf("%q: value %d is seen after %d was put", k.Name, seq, put)
	}
}

// neverOldNeverMixed writes, deletes and reads many keys at once, more than a
// small tier can hold.
func (s *suite) neverOldNeverMixed(t *testing.T, c *tier) {
	const keys, writers, rounds = 400, 4, 1500
	tracks := make([]track, keys)
	ctx, stop := context.WithCancel(t.Context())
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for round := range uint64(rounds) {
				i := rng.IntN(keys/writers)*writers + w // each key has one writer
				k, tr := key(cache.Class(i%2), i), &tracks[i]
				if rng.IntN(4) == 0 {
					tr.delete(c, k)
				} else {
					c.put(k, value(k, round+1, mixedSize(rng)))
					tr.put.Store(round + 1)
				}
				tr.check(t, c, k)
			}
		})
	}
	for r := range 2 {
		reading.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(r), 2))
			for ctx.Err() == nil && !t.Failed() {
				i := rng.IntN(keys)
				tracks[i].check(t, c, key(cache.Class(i%2), i))
			}
		})
	}
	writing.Wait()
	stop()
	reading.Wait()
}

// mixedSize is small mostly, and now and then a whole slice.
func mixedSize(rng *rand.Rand) int {
	switch rng.IntN(50) {
	case 0:
		return cache.SliceSize
	case 1, 2, 3:
		return 32 << 10
	}
	return rng.IntN(2000)
}

// bounded fills a tier many times over and watches what it holds.
func (s *suite) bounded(t *testing.T, c *tier) {
	capacity := c.Stats().Capacity
	ctx, stop := context.WithCancel(t.Context())
	var filling, watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			if st := c.Stats(); st.Bytes > capacity || st.Bytes < 0 || st.Entries < 0 || st.Capacity != capacity {
				t.Errorf("of %d bytes: %+v", capacity, st)
				return
			}
		}
	})
	budget := min(4*capacity, 96<<20) / 4
	for w := range 4 {
		filling.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for put := int64(0); put < budget; {
				i := rng.IntN(1 << 20)
				k := key(cache.Class(i%2), i)
				v := value(k, 1, mixedSize(rng))
				put += int64(len(v)) + 200
				c.put(k, v)
				if got, ok := c.get(k); ok {
					sequence(t, k, got)
				}
			}
		})
	}
	filling.Wait()
	stop()
	watching.Wait()
	if st := c.Stats(); st.Bytes > capacity {
		t.Errorf("of %d bytes: %+v", capacity, st)
	}
}

func (s *suite) closeWhileUsed(t *testing.T, c *tier) {
	var users sync.WaitGroup
	begun := make(chan struct{}, 4)
	closed := make(chan struct{})
	for w := range 4 {
		users.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 4))
			for i := 0; ; i++ {
				select {
				case <-closed:
					return
				default:
				}
				k := key(cache.Class(rng.IntN(2)), rng.IntN(100))
				c.put(k, value(k, 1, 500))
				if v, ok := c.get(k); ok {
					sequence(t, k, v)
				}
				if i%5 == 0 {
					c.del(k)
				}
				if i == 100 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	close(closed)
	users.Wait()
	for i := range 100 {
		if _, ok := c.get(key(cache.Head, i)); ok {
			t.Fatalf("a value after Close")
		}
	}
}
