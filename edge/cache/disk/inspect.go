package disk

import "meridian/edge/cache"

var (
	_ cache.Holder  = (*Tier)(nil)
	_ cache.Advised = (*Tier)(nil)
)

// Holds implements cache.Holder. Whether the value is damaged only Get finds out.
func (t *Tier) Holds(k cache.Key) bool {
	if t.class(k) == nil {
		return false
	}
	i := idOf(k)
	s := t.shard(i)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[i] != nil
}

// Keep implements cache.Advised.
func (t *Tier) Keep(k cache.Key) bool {
	c := t.class(k)
	if c == nil {
		return false
	}
	i := idOf(k)
	s := t.shard(i)
	s.mu.RLock()
	e := s.entries[i]
	s.mu.RUnlock()
	return e != nil && c.policy.Keep(&e.Entry)
}
