// Package memory is the memory tier. Ristretto stores the bytes; which of them
// stay is decided by package policy, one policy and budget per class.
//
// Ristretto applies writes late and in part: a Set is visible after a while, an
// update may keep the old value, a burst of Sets is dropped, and its admission
// knows neither size nor recency. So nothing here depends on when it acts:
//
//   - An index of ours, by whole key, says what the tier holds. Every value has
//     an ID that is never used again, and Ristretto keeps bytes by ID only:
//     nothing is updated in place, and what the index does not name cannot be
//     seen, whatever Ristretto still holds.
//   - Until Ristretto is seen to hold the bytes, the index entry keeps them and
//     serves them. A value that Ristretto drops in the end leaves the index.
//   - One keeper hands Sets and Dels to Ristretto in the order in which values
//     came and went, in batches, and waits for each batch to be applied. Bytes
//     that were evicted and that a batch still holds are counted; writers wait
//     when there are too many.
//   - Ristretto's own limit is set where the policy's budget cannot reach it.
//
// A Get of a hit takes two read locks of shards and allocates nothing.
//
// Evicted bytes are left to the garbage collector. Using a slice's buffer again
// would need to know that no reader still writes it to a client, and Get hands
// out bytes without a way to give them back. Set a memory limit for the process
// (debug.SetMemoryLimit): a heap of large buffers is cheap to mark, but by the
// default pacing it may double before it is collected.
package memory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"

	"meridian/edge/cache"
)

// Tier is a cache.Tier in memory.
type Tier struct {
	store   *ristretto.Cache[uint64, *box]
	classes [2]class
	seed    maphash.Seed
	keeper  keeper
	lastID  atomic.Uint64
	evicted func(cache.Key) // nil: nobody wants to know
	close   sync.Once
}

var (
	_ cache.Tier     = (*Tier)(nil)
	_ cache.Referrer = (*Tier)(nil)
)

// New returns a Tier, which the caller closes.
func New(cfg Config) (*Tier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	t := &Tier{seed: maphash.MakeSeed()}
	for i, budget := range []int64{cache.Head: cfg.HeadBytes, cache.Slice: cfg.SliceBytes} {
		t.classes[i].open(budget)
	}
	total := cfg.HeadBytes + cfg.SliceBytes
	store, err := ristretto.NewCache(&ristretto.Config[uint64, *box]{
		// The counters serve an admission that never has to choose.
		NumCounters:        1 << 10,
		MaxCost:            2*total + 1<<30,
		BufferItems:        64,
		IgnoreInternalCost: true, // costs include it already
		OnEvict:            t.lost,
		OnReject:           t.lost,
	})
	if err != nil {
		return nil, fmt.Errorf("memory cache: %w", err)
	}
	t.store = store
	t.keeper.start(t, max(total/32, 4<<20))
	return t, nil
}

// Get implements cache.Tier.
func (t *Tier) Get(_ context.Context, k cache.Key) ([]byte, error) {
	v, _, err := t.get(k)
	return v, err
}

// Refer implements cache.Referrer.
func (t *Tier) Refer(_ context.Context, k cache.Key) ([]byte, cache.Ref, error) {
	v, e, err := t.get(k)
	if err != nil {
		return nil, nil, err
	}
	return v, e, nil
}

func (t *Tier) get(k cache.Key) ([]byte, *entry, error) {
	c, s := t.find(k)
	if c == nil {
		return nil, nil, cache.ErrMiss
	}
	s.mu.RLock()
	e := s.entries[k.Name]
	if e == nil {
		s.mu.RUnlock()
		s.misses.Add(1)
		return nil, nil, cache.ErrMiss
	}
	// Under the lock, because the shard closes before Ristretto does, which
	// must not be asked afterwards.
	v := e.bytes(t.store)
	s.mu.RUnlock()
	if v == nil {
		// Evicted by Ristretto itself, a moment ago.
		s.misses.Add(1)
		return nil, nil, cache.ErrMiss
	}
	s.hits.Add(1)
	c.policy.Touch(&e.Entry)
	return v, e, nil
}

// Put implements cache.Tier. A value is declined if its class cannot hold it.
func (t *Tier) Put(_ context.Context, k cache.Key, v []byte) error {
	return t.put(k, v, false)
}

// PutAhead implements cache.Advised.
func (t *Tier) PutAhead(_ context.Context, k cache.Key, v []byte) error {
	return t.put(k, v, true)
}

func (t *Tier) put(k cache.Key, v []byte, ahead bool) error {
	c, s := t.find(k)
	if c == nil {
		return fmt.Errorf("memory cache: %w: class %d", errors.ErrUnsupported, k.Class)
	}
	deleted := s.deleting.Load()
	c.puts.Add(1)
	e := t.newEntry(k, v)
	if ahead {
		e.Guest, e.Hits = true, cache.AheadHits
	}
	s.mu.Lock()
	old := s.entries[k.Name]
	switch {
	case s.closed, e.Size > c.budget, s.deleting.Load() != deleted:
		// The last: a Delete in this shard, perhaps of this key, was called
		// after this Put and has come first.
		e = nil
		delete(s.entries, k.Name)
	default:
		s.entries[k.Name] = e
	}
	if old != nil {
		old.gone.Store(true)
	}
	s.mu.Unlock()
	if old != nil {
		t.retire(c, old)
	}
	if e == nil {
		c.declined.Add(1)
		return nil
	}
	t.keeper.keep(e)
	for _, out := range c.policy.Add(&e.Entry) {
		t.evict(c, out.Owner.(*entry), e)
	}
	t.keeper.relieve()
	return nil
}

// evict takes out what the policy chose, while added was put.
func (t *Tier) evict(c *class, e, added *entry) {
	t.unlink(c, e)
	t.tell(e)
	t.keeper.drop(e)
	if e == added {
		c.declined.Add(1)
		return
	}
	c.evictions.Add(1)
	c.evictedBytes.Add(e.Size)
}

// retire takes out an entry that has left the index.
func (t *Tier) retire(c *class, e *entry) {
	if c.policy.Remove(&e.Entry) {
		t.keeper.drop(e)
	}
}

// lost is Ristretto's word that it does not keep a value, which our limits
// should make impossible.
func (t *Tier) lost(item *ristretto.Item[*box]) {
	if item.Value == nil {
		return
	}
	e := item.Value.entry
	c := &t.classes[e.key.Class]
	t.unlink(c, e)
	if c.policy.Remove(&e.Entry) {
		t.tell(e)
		c.evictions.Add(1)
		c.evictedBytes.Add(e.Size)
		t.keeper.drop(e)
	}
}

// unlink removes e from the index, unless its key has another value by now.
func (t *Tier) unlink(c *class, e *entry) {
	s := c.shard(e.Hash)
	s.mu.Lock()
	if s.entries[e.key.Name] == e {
		delete(s.entries, e.key.Name)
		e.gone.Store(true)
	}
	s.mu.Unlock()
}

// Delete implements cache.Tier.
func (t *Tier) Delete(_ context.Context, k cache.Key) error {
	c, s := t.find(k)
	if c == nil {
		return nil
	}
	s.deleting.Add(1)
	s.mu.Lock()
	e := s.entries[k.Name]
	delete(s.entries, k.Name)
	if e != nil {
		e.gone.Store(true)
	}
	s.mu.Unlock()
	if e != nil {
		c.deletes.Add(1)
		t.retire(c, e)
	}
	return nil
}

// Stats implements cache.Tier.
func (t *Tier) Stats() cache.Stats {
	var sum cache.Stats
	for i := range t.classes {
		t.classes[i].addTo(&sum)
	}
	return sum
}

// Close implements cache.Tier.
func (t *Tier) Close() error {
	t.close.Do(func() {
		for i := range t.classes {
			t.classes[i].shut()
		}
		t.keeper.stop()
		t.store.Close()
	})
	return nil
}
