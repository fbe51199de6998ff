package memory

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/dgraph-io/ristretto/v2"

	"meridian/edge/cache"
	"meridian/edge/cache/policy"
)

// entryOverhead is what a value costs beyond its bytes and name: the entry, its
// places in the index, in Ristretto's map and in Ristretto's list of costs, and
// its share of the policy's memory of what is gone. Measured, see TestOverhead.
const entryOverhead = 384

// entry is a value of the index.
type entry struct {
	policy.Entry
	tier *Tier
	id   uint64
	key  cache.Key
	gone atomic.Bool // from the index; set under the lock of the shard
	// pending are the bytes until Ristretto is seen to hold them, and box is
	// where they are as long as it does, for those who have the entry.
	pending atomic.Pointer[box]
	box     weak.Pointer[box]
	// stored and dropped belong to the keeper.
	stored, dropped bool
}

// box is what Ristretto keeps: the bytes, and whose they are.
type box struct {
	entry *entry
	value []byte
}

func (t *Tier) newEntry(k cache.Key, v []byte) *entry {
	e := &entry{tier: t, id: t.lastID.Add(1), key: k}
	e.Hash = t.hash(k)
	// The capacity is what is held, whatever the length.
	e.Size = int64(cap(v)) + int64(len(k.Name)) + entryOverhead
	e.Owner = e
	if v == nil {
		v = []byte{}
	}
	b := &box{e, v}
	e.pending.Store(b)
	e.box = weak.Make(b)
	return e
}

var _ cache.Ref = (*entry)(nil)

// Get implements cache.Ref.
func (e *entry) Get() ([]byte, bool) {
	b := e.box.Value()
	if b == nil || e.gone.Load() {
		return nil, false
	}
	c := &e.tier.classes[e.key.Class]
	c.shard(e.Hash).hits.Add(1)
	c.policy.Touch(&e.Entry)
	return b.value, true
}

// bytes returns the value; nil if Ristretto has lost it.
func (e *entry) bytes(store *ristretto.Cache[uint64, *box]) []byte {
	if b := e.pending.Load(); b != nil {
		return b.value
	}
	if b, ok := store.Get(e.id); ok {
		return b.value
	}
	return nil
}

func (t *Tier) hash(k cache.Key) uint64 { return maphash.String(t.seed, k.Name) }

// class is the index and budget of one class.
type class struct {
	budget int64
	policy policy.Policy
	shards [256]shard

	puts, declined, deletes, evictions, evictedBytes atomic.Int64
}

type shard struct {
	mu      sync.RWMutex
	entries map[string]*entry
	closed  bool
	// deleting counts calls of Delete that began.
	deleting     atomic.Uint64
	hits, misses atomic.Int64
	_            [40]byte // keep neighbours off this cache line
}

func (t *Tier) find(k cache.Key) (*class, *shard) {
	if int(k.Class) >= len(t.classes) {
		return nil, nil
	}
	c := &t.classes[k.Class]
	return c, c.shard(t.hash(k))
}

func (c *class) shard(hash uint64) *shard { return &c.shards[hash>>56] }

func (c *class) open(budget int64) {
	c.budget = budget
	c.policy = policy.New(budget)
	for i := range c.shards {
		c.shards[i].entries = map[string]*entry{}
	}
}

func (c *class) shut() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		gone := s.entries
		s.closed, s.entries = true, nil
		for _, e := range gone {
			e.gone.Store(true)
		}
		s.mu.Unlock()
		for _, e := range gone {
			c.policy.Remove(&e.Entry)
		}
	}
}

func (c *class) addTo(sum *cache.Stats) {
	entries, bytes := c.policy.Size()
	sum.Entries += entries
	sum.Bytes += bytes
	sum.Capacity += c.budget
	sum.Puts += c.puts.Load()
	sum.Declined += c.declined.Load()
	sum.Deletes += c.deletes.Load()
	sum.Evictions += c.evictions.Load()
	sum.EvictedBytes += c.evictedBytes.Load()
	for i := range c.shards {
		sum.Hits += c.shards[i].hits.Load()
		sum.Misses += c.shards[i].misses.Load()
	}
}
