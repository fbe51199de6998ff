package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Chain is tiers in order, the fastest first, as one Tier: Get asks them in
// turn and copies what a lower tier holds into those above it; Put and Delete
// reach all of them.
//
// The tiers keep their promises one by one, which does not yet make the chain
// keep them: a copy that is on its way up must not arrive after a newer Put or
// a Delete, nor may half of a Put follow a Delete. So writes of one key exclude
// each other, and each write ends the copies that began before it. Reads take
// no lock.
type Chain struct {
	tiers   []Tier
	seed    maphash.Seed
	stripes [256]stripe
	misses  atomic.Int64
}

// stripe orders the writes of a share of all keys. Its counters only grow.
type stripe struct {
	mu      sync.Mutex
	writes  atomic.Uint64 // Puts and Deletes that began
	deletes atomic.Uint64 // Deletes that began
	_       [40]byte      // keep neighbours off this cache line
}

var (
	_ Tier     = (*Chain)(nil)
	_ Referrer = (*Chain)(nil)
)

// NewChain chains tiers, the fastest first.
func NewChain(tiers ...Tier) *Chain {
	return &Chain{tiers: tiers, seed: maphash.MakeSeed()}
}

func (c *Chain) stripe(k Key) *stripe {
	return &c.stripes[uint8(maphash.String(c.seed, k.Name))]
}

// Get implements Tier. A tier that fails is passed over; its error is returned
// only if no other tier has the value.
func (c *Chain) Get(ctx context.Context, k Key) ([]byte, error) {
	s := c.stripe(k)
	began := s.writes.Load()
	var failed error
	for i, t := range c.tiers {
		v, err := t.Get(ctx, k)
		if err == nil {
			c.copyUp(ctx, s, began, i, k, v)
			return v, nil
		}
		if !errors.Is(err, ErrMiss) {
			failed = errors.Join(failed, fmt.Errorf("tier %d: %w", i, err))
		}
	}
	c.misses.Add(1)
	if failed != nil {
		return nil, failed
	}
	return nil, ErrMiss
}

// Refer implements Referrer, for values of the fastest tier.
func (c *Chain) Refer(ctx context.Context, k Key) (v []byte, r Ref, err error) {
	if t, ok := c.tiers[0].(Referrer); ok {
		if v, r, err = t.Refer(ctx, k); err == nil {
			return v, r, nil
		}
	}
	v, err = c.Get(ctx, k)
	return v, nil, err
}

// copyUp puts what tier number from holds into those above it, unless the key
// was written since the read began, or is being written now.
func (c *Chain) copyUp(ctx context.Context, s *stripe, began uint64, from int, k Key, v []byte) {
	if from == 0 || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.writes.Load() != began {
		return
	}
	for i := from - 1; i >= 0; i-- {
		// The value is served either way; the next reader tries again.
		_ = c.tiers[i].Put(ctx, k, v)
	}
}

// Put implements Tier.
func (c *Chain) Put(ctx context.Context, k Key, v []byte) error {
	return c.put(ctx, k, func(t Tier) error { return t.Put(ctx, k, v) })
}

// Topmost is a Tier of tiers that can keep a value out of all but the first.
type Topmost interface {
	// PutTopmost is Put into the first tier only; the others hold no value of k
	// afterwards.
	PutTopmost(ctx context.Context, k Key, v []byte) error
}

var _ Topmost = (*Chain)(nil)

// PutTopmost implements Topmost.
func (c *Chain) PutTopmost(ctx context.Context, k Key, v []byte) error {
	s := c.stripe(k)
	deleted := s.deletes.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.Add(1)
	if s.deletes.Load() != deleted {
		return c.deleteLocked(ctx, k) // as Put does
	}
	failed := c.deleteBelow(ctx, k, 1)
	if failed != nil {
		return failed // one that stays below would come up again
	}
	return c.tiers[0].Put(ctx, k, v)
}

// Delete implements Tier. It waits for a Put of the same key that is running.
func (c *Chain) Delete(ctx context.Context, k Key) error {
	s := c.stripe(k)
	s.deletes.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.Add(1)
	return c.deleteLocked(ctx, k)
}

func (c *Chain) deleteLocked(ctx context.Context, k Key) error { return c.deleteBelow(ctx, k, 0) }

// deleteBelow deletes from tier number top and all below it.
func (c *Chain) deleteBelow(ctx context.Context, k Key, top int) error {
	var failed error
	for i := len(c.tiers) - 1; i >= top; i-- {
		if err := c.tiers[i].Delete(ctx, k); err != nil {
			failed = errors.Join(failed, fmt.Errorf("tier %d: %w", i, err))
		}
	}
	return failed
}

// Stats implements Tier. Misses are those of the chain: no tier had the value.
// All else is the sum over the tiers, so that a value held twice counts twice.
func (c *Chain) Stats() Stats {
	var sum Stats
	for _, t := range c.tiers {
		sum = sum.plus(t.Stats())
	}
	sum.Misses = c.misses.Load()
	return sum
}

// Close closes all tiers.
func (c *Chain) Close() error {
	var failed error
	for _, t := range c.tiers {
		failed = errors.Join(failed, t.Close())
	}
	return failed
}

func (s Stats) plus(o Stats) Stats {
	s.Entries += o.Entries
	s.Bytes += o.Bytes
	s.Capacity += o.Capacity
	s.Hits += o.Hits
	s.Misses += o.Misses
	s.Puts += o.Puts
	s.Declined += o.Declined
	s.Evictions += o.Evictions
	s.EvictedBytes += o.EvictedBytes
	s.Deletes += o.Deletes
	return s
}
