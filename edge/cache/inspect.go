package cache

// Holder is a Tier that can be looked into without being used: nothing that it
// keeps, counts or moves depends on it.
type Holder interface {
	// Holds reports whether a Get would find k, as far as can be told without
	// reading the value.
	Holds(k Key) bool
}

// Evictor is a Tier that tells what it evicts.
type Evictor interface {
	// OnEvict has f called with every key whose value had to make room for
	// others, or was declined for want of it; not for what was deleted or put
	// anew. f returns soon and does not call the tier. OnEvict is called once,
	// before the tier is used.
	OnEvict(f func(k Key))
}

var (
	_ Holder  = (*Chain)(nil)
	_ Evictor = (*Chain)(nil)
)

// Holds implements Holder, by those of its tiers that do.
func (c *Chain) Holds(k Key) bool {
	for _, t := range c.tiers {
		if h, ok := t.(Holder); ok && h.Holds(k) {
			return true
		}
	}
	return false
}

// OnEvict implements Evictor, by those of its tiers that do. What one tier
// evicts another may still hold.
func (c *Chain) OnEvict(f func(k Key)) {
	for _, t := range c.tiers {
		if e, ok := t.(Evictor); ok {
			e.OnEvict(f)
		}
	}
}
