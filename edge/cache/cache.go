// Package cache defines the tiers of memory and disk inside a cache node. What
// they keep are heads (what a URL is now) and slices (immutable pieces of a
// version); the children of this package implement Tier and pass the
// conformance suite in cachetest.
package cache

import (
	"context"
	"errors"
)

// ErrMiss says that a tier does not hold a key.
var ErrMiss = errors.New("cache miss")

// SliceSize is the size of every slice of a body but the last, in bytes.
const SliceSize = 1 << 20

// Class chooses the budget that pays for a value.
type Class uint8

// The two classes: few bytes asked for often, and many bytes.
const (
	Head  Class = iota // a head, with the body where it is small
	Slice              // a piece of a body
)

// Key names a value. Name is the whole name, never a hash of it: for a head the
// cache key of the URL, for a slice the version and index.
type Key struct {
	Class Class
	Name  string
}

// Tier is one level of cache: memory, or disk. All methods may run at once.
type Tier interface {
	// Get returns the value, or ErrMiss. Nobody ever modifies the bytes.
	Get(ctx context.Context, k Key) ([]byte, error)
	// Put is a hint: the tier may decline, evict at once, or show the value
	// late. It keeps v, which must not be modified afterwards. An earlier value
	// of k is never seen again.
	Put(ctx context.Context, k Key, v []byte) error
	// Delete is an order: no Get that starts after it returns sees the value,
	// nor does a Put that was called before it bring it back.
	Delete(ctx context.Context, k Key) error
	Stats() Stats
	// Close frees what the tier holds; it may be called while other methods
	// run, and twice. Afterwards every Get is a miss and every Put declined.
	Close() error
}

// Stats counts a tier since its start. Entries, Bytes and Capacity are of now;
// Bytes is what values cost, bookkeeping included, and is never above Capacity.
// Declined are Puts that were not kept at all; Evictions are entries that had
// to make room for others; Deletes are calls of Delete that found something.
type Stats struct {
	Entries, Bytes, Capacity         int64
	Hits, Misses, Puts, Declined     int64
	Evictions, EvictedBytes, Deletes int64
}

// Referrer is a Tier whose values can be had again without a look-up.
type Referrer interface {
	// Refer is Get, with a reference to the value; nil where the tier that holds
	// it gives none.
	Refer(ctx context.Context, k Key) (v []byte, r Ref, err error)
}

// Ref refers to a value that a Tier held when it was asked, and to no other one,
// whatever its bytes. It keeps none of them alive.
type Ref interface {
	// Get returns the value as a Get of its key would at this moment; false as
	// soon as the key has another value, or none.
	Get() ([]byte, bool)
}
