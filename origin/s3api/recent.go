package s3api

import (
	"context"
	"sync"
	"time"
)

const (
	// recentTTL is how long a looked-up value may be used: the time within
	// which a revoked access key is refused everywhere.
	recentTTL = 900 * time.Millisecond
	// recentSize bounds the number of values kept.
	recentSize = 10_000
)

// recent remembers for recentTTL what a look-up in the catalogue found, so that
// a busy client costs one look-up in a while. Errors are not remembered.
type recent[K comparable, V any] struct {
	now  func() time.Time
	load func(context.Context, K) (V, error)

	mu        sync.Mutex
	entries   map[K]recentEntry[V]
	forgotten uint64 // calls of forget
}

type recentEntry[V any] struct {
	value V
	until time.Time
}

func newRecent[K comparable, V any](now func() time.Time, load func(context.Context, K) (V, error)) *recent[K, V] {
	return &recent[K, V]{now: now, load: load, entries: map[K]recentEntry[V]{}}
}

// get is the value of k, counted from before it was looked up.
func (r *recent[K, V]) get(ctx context.Context, k K) (V, error) {
	now := r.now()
	r.mu.Lock()
	e, ok := r.entries[k]
	forgotten := r.forgotten
	r.mu.Unlock()
	if ok && now.Before(e.until) {
		return e.value, nil
	}
	v, err := r.load(ctx, k)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.entries, k)
		return v, err
	}
	if r.forgotten != forgotten {
		return v, nil // it may be from before what made somebody forget it
	}
	if len(r.entries) >= recentSize {
		clear(r.entries) // cheaper than an order of age, and everything is soon looked up again
	}
	r.entries[k] = recentEntry[V]{v, now.Add(recentTTL)}
	return v, nil
}

// forget makes the next get look k up.
func (r *recent[K, V]) forget(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, k)
	r.forgotten++
}
