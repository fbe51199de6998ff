package cache

import (
	"context"
	"errors"
	"fmt"
)

// Advised is a Tier that takes advice from who knows more of what will be asked
// for than it can.
type Advised interface {
	// PutAhead is Put of a value that nobody has asked for yet. It is declined
	// rather than that anything makes room for it which was asked for more often
	// than once, and goes soon where nobody asks.
	PutAhead(ctx context.Context, k Key, v []byte) error
	// Keep has a value passed over once when it would have to make room. It
	// reports whether it is: whether it is held, and not too much is kept already.
	Keep(k Key) bool
}

var _ Advised = (*Chain)(nil)

// AheadHits is as how many requests it counts that a value was put ahead.
const AheadHits = 1

// PutAhead implements Advised. Tiers that take no advice do as for any Put.
func (c *Chain) PutAhead(ctx context.Context, k Key, v []byte) error {
	return c.put(ctx, k, func(t Tier) error {
		if a, ok := t.(Advised); ok {
			return a.PutAhead(ctx, k, v)
		}
		return t.Put(ctx, k, v)
	})
}

// Keep implements Advised: in every tier that takes advice.
func (c *Chain) Keep(k Key) (kept bool) {
	for _, t := range c.tiers {
		if a, ok := t.(Advised); ok && a.Keep(k) {
			kept = true
		}
	}
	return kept
}

// put has every tier take a value of k, unless a Delete was ordered meanwhile.
func (c *Chain) put(ctx context.Context, k Key, into func(Tier) error) error {
	s := c.stripe(k)
	deleted := s.deletes.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes.Add(1)
	if s.deletes.Load() != deleted {
		// Somebody ordered a Delete, perhaps of this key, while this hint was
		// waiting. What was there is old by now, too.
		return c.deleteLocked(ctx, k)
	}
	// The lowest tier comes first, so that nobody who has seen the new value
	// above finds the old one below.
	var failed error
	for i := len(c.tiers) - 1; i >= 0; i-- {
		if err := into(c.tiers[i]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("tier %d: %w", i, err))
		}
	}
	return failed
}
