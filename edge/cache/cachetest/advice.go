package cachetest

import (
	"testing"

	"meridian/edge/cache"
)

func advised(t *testing.T, c *tier) cache.Advised {
	t.Helper()
	a, ok := c.Tier.(cache.Advised)
	if !ok {
		t.Skip("the tier takes no advice")
	}
	if c.Stats().Capacity > 64<<20 {
		t.Skip("the tier is too large to be filled here")
	}
	return a
}

// flood puts values, each of which is asked for five times, until the tier has had
// to let some go.
func (s *suite) flood(c *tier) (keys []cache.Key) {
	for i := range int(2 * c.Stats().Capacity / (256 << 10)) {
		k := key(cache.Slice, i)
		keys = append(keys, k)
		c.put(k, value(k, 1, 256<<10))
		for range 5 {
			c.get(k)
		}
	}
	return keys
}

// ahead wants values that nobody has asked for to be kept like others where there
// is room, and to displace nothing that was asked for often.
func (s *suite) ahead(t *testing.T, c *tier) {
	a := advised(t, c)
	k := key(cache.Slice, 1<<20)
	if err := a.PutAhead(t.Context(), k, value(k, 1, 100)); err != nil {
		t.Fatal(err)
	}
	if v, held := c.get(k); s.Roomy && !held || held && len(v) != 100 {
		t.Errorf("put ahead into an empty tier: %d bytes, %v", len(v), held)
	}
	if _, ok := c.Tier.(*cache.Chain); ok {
		return // its lower tiers do not see what those above them are asked for
	}
	var held []cache.Key
	for _, k := range s.flood(c) {
		if _, ok := c.get(k); ok {
			held = append(held, k)
		}
	}
	for i := range 200 {
		k := key(cache.Slice, 1<<21+i)
		if err := a.PutAhead(t.Context(), k, value(k, 1, 256<<10)); err != nil {
			t.Fatal(err)
		}
	}
	lost := 0
	for _, k := range held {
		if _, ok := c.get(k); !ok {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d values that were asked for often went for what nobody asked for", lost, len(held))
	}
}

// keeps wants what is to be kept to outlive a scan.
func (s *suite) keeps(t *testing.T, c *tier) {
	a := advised(t, c)
	k := key(cache.Slice, 1<<20)
	if a.Keep(k) {
		t.Error("keeps what it does not hold")
	}
	c.put(k, value(k, 1, 64<<10))
	if !s.Roomy {
		if _, held := c.get(k); !held {
			t.Skip("a tier that held nothing is no use here")
		}
	}
	for i := range 200 {
		a.Keep(k)
		scanned := key(cache.Slice, i)
		c.put(scanned, value(scanned, 1, 256<<10))
	}
	if _, held := c.get(k); !held {
		t.Error("a scan took away what was to be kept")
	}
}
