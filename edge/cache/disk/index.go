package disk

import (
	"sync"
	"sync/atomic"

	"meridian/edge/cache"
	"meridian/edge/cache/policy"
)

// class is the budget of one class, and what is counted of it.
type class struct {
	budget int64
	policy policy.Policy

	puts, declined, deletes, evictions, evictedBytes atomic.Int64
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
}

func (c *class) evicted(e *entry) {
	c.evictions.Add(1)
	c.evictedBytes.Add(e.Size)
}

// shard is the index of one directory of files. Where both locks are taken,
// files comes first.
type shard struct {
	// files is held while a file of the directory gets its name or loses it.
	files sync.Mutex

	mu      sync.RWMutex
	entries map[id]*entry
	// leaving are entries that are in the index no longer, but whose files may
	// still be there; the newest of each key, the others by entry.older.
	leaving map[id]*entry
	closed  bool // to Puts

	// deleting counts calls of Delete that began.
	deleting     atomic.Uint64
	hits, misses atomic.Int64
}

// leave takes e out of the index, under mu, if it is there. Whoever has it leave
// sees to its file.
func (s *shard) leave(e *entry, q *queue) bool {
	if s.entries[e.id] != e {
		return false
	}
	delete(s.entries, e.id)
	q.release(e)
	s.linger(e)
	return true
}

// linger keeps, under mu, an entry that has left within reach of Delete.
func (s *shard) linger(e *entry) {
	e.older = s.leaving[e.id]
	s.leaving[e.id] = e
}

// left forgets, under mu, an entry whose file is gone.
func (s *shard) left(e *entry) {
	first := s.leaving[e.id]
	if first == e {
		if e.older == nil {
			delete(s.leaving, e.id)
		} else {
			s.leaving[e.id] = e.older
		}
		return
	}
	for at := first; at != nil; at = at.older {
		if at.older == e {
			at.older = e.older
			return
		}
	}
}
