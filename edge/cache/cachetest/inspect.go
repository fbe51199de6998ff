package cachetest

import (
	"sync"
	"testing"

	"meridian/edge/cache"
)

// holds looks into a tier that lets itself be looked into.
func (s *suite) holds(t *testing.T, c *tier) {
	h, ok := c.Tier.(cache.Holder)
	if !ok {
		t.Skip("the tier cannot be looked into")
	}
	for i := range 20 {
		k := key(cache.Class(i%2), i)
		if h.Holds(k) {
			t.Errorf("holds %q, which nobody put", k.Name)
		}
		v := value(k, 1, 100)
		c.put(k, v)
		c.see(s, k, v)
		if s.Roomy && !h.Holds(k) {
			t.Errorf("does not hold %q, which was put", k.Name)
		}
		before := c.Stats()
		h.Holds(k)
		if after := c.Stats(); after.Hits != before.Hits || after.Misses != before.Misses {
			t.Errorf("being looked into counts: %+v, before %+v", after, before)
		}
		c.del(k)
		if h.Holds(k) {
			t.Errorf("holds %q, which was deleted", k.Name)
		}
	}
}

// evicts puts more than fits, and wants to be told of what is missing then.
func (s *suite) evicts(t *testing.T, c *tier) {
	e, ok := c.Tier.(cache.Evictor)
	if !ok {
		t.Skip("the tier does not tell what it evicts")
	}
	var mu sync.Mutex
	told := map[cache.Key]bool{}
	e.OnEvict(func(k cache.Key) {
		mu.Lock()
		defer mu.Unlock()
		told[k] = true
	})
	before := c.Stats()
	if before.Capacity > 64<<20 {
		t.Skipf("a capacity of %d bytes is not filled here", before.Capacity)
	}
	gone := key(cache.Slice, 1<<20)
	c.put(gone, value(gone, 1, 100))
	c.del(gone)
	var keys []cache.Key
	for i := range int(2 * before.Capacity / (256 << 10)) {
		k := key(cache.Slice, i)
		keys = append(keys, k)
		c.put(k, value(k, 1, 256<<10))
	}
	missing := 0
	for _, k := range keys {
		if _, held := c.get(k); held {
			continue
		}
		missing++
		mu.Lock()
		if !told[k] {
			t.Errorf("%q is gone, and nobody was told", k.Name)
		}
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	if missing == 0 {
		t.Error("everything is still there")
	}
	if told[gone] {
		t.Error("what was deleted counts as evicted")
	}
}
