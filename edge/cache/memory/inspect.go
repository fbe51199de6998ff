package memory

import "meridian/edge/cache"

var (
	_ cache.Holder  = (*Tier)(nil)
	_ cache.Evictor = (*Tier)(nil)
	_ cache.Advised = (*Tier)(nil)
)

// Holds implements cache.Holder.
func (t *Tier) Holds(k cache.Key) bool {
	_, s := t.find(k)
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[k.Name] != nil
}

// Keep implements cache.Advised.
func (t *Tier) Keep(k cache.Key) bool {
	c, s := t.find(k)
	if s == nil {
		return false
	}
	s.mu.RLock()
	e := s.entries[k.Name]
	s.mu.RUnlock()
	return e != nil && c.policy.Keep(&e.Entry)
}

// OnEvict implements cache.Evictor.
func (t *Tier) OnEvict(f func(k cache.Key)) { t.evicted = f }

// tell says that e did not stay.
func (t *Tier) tell(e *entry) {
	if t.evicted != nil {
		t.evicted(e.key)
	}
}
