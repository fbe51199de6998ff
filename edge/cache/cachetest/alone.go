package cachetest

import (
	"errors"
	"testing"

	"meridian/edge/cache"
)

func (s *suite) miss(_ *testing.T, c *tier) {
	for _, class := range []cache.Class{cache.Head, cache.Slice} {
		c.missing(key(class, 1), "that nobody put")
		c.del(key(class, 1)) // what is not there can be deleted
	}
}

func (s *suite) putGet(_ *testing.T, c *tier) {
	for i, size := range []int{1, 100, 32 << 10, cache.SliceSize} {
		for _, class := range []cache.Class{cache.Head, cache.Slice} {
			k := key(class, i)
			v := value(k, 1, size)
			c.put(k, v)
			c.see(s, k, v)
		}
	}
}

func (s *suite) emptyValue(_ *testing.T, c *tier) {
	c.put(key(cache.Head, 1), nil)
	c.see(s, key(cache.Head, 1), nil)
	c.put(key(cache.Head, 2), []byte{})
	c.see(s, key(cache.Head, 2), nil)
}

// similarKeys keeps values under names that something less than a comparison of
// the whole might take for the same.
func (s *suite) similarKeys(_ *testing.T, c *tier) {
	names := []string{"", "a", "a/", "/a", "a\x00", "\x00a", "a\x00b", "ab", "A", "a/../a", "a//b", "ä", "a\xff", "a%00"}
	values := map[cache.Key][]byte{}
	for _, class := range []cache.Class{cache.Head, cache.Slice} {
		for _, name := range names {
			k := cache.Key{Class: class, Name: name}
			values[k] = value(k, 1, 64)
			c.put(k, values[k])
		}
	}
	for k, v := range values {
		c.see(s, k, v)
	}
	for k := range values {
		c.del(k)
		delete(values, k)
		break
	}
	for k, v := range values {
		c.see(s, k, v)
	}
}

// putOverPut puts values of all sizes over each other, back to back.
func (s *suite) putOverPut(t *testing.T, c *tier) {
	k := key(cache.Head, 1)
	for seq := range uint64(2000) {
		v := value(k, seq, int(seq*37%5000))
		c.put(k, v)
		if got, ok := c.get(k); ok {
			if at := sequence(t, k, got); at != seq {
				t.Fatalf("value %d is seen after %d was put", at, seq)
			}
		}
		if seq%100 == 0 {
			c.see(s, k, v)
		}
	}
}

func (s *suite) delete(_ *testing.T, c *tier) {
	for i := range 200 {
		k := key(cache.Class(i%2), i)
		v := value(k, 1, 100)
		c.put(k, v)
		if i%2 == 0 {
			c.see(s, k, v)
		}
		c.del(k)
		c.missing(k, "after Delete")
	}
	for i := range 200 {
		c.missing(key(cache.Class(i%2), i), "long after Delete")
	}
	// Deleted is not barred.
	k := key(cache.Head, 1)
	v := value(k, 2, 100)
	c.put(k, v)
	c.see(s, k, v)
}

func (s *suite) oversize(t *testing.T, c *tier) {
	before := c.Stats()
	if before.Capacity <= 0 || before.Capacity > 1<<30 {
		t.Skipf("a capacity of %d bytes is not exceeded here", before.Capacity)
	}
	k, other := key(cache.Slice, 1), key(cache.Slice, 2)
	small := value(k, 1, 100)
	c.put(k, small)
	c.put(other, value(other, 1, 100))
	c.see(s, k, small)
	c.put(k, make([]byte, before.Capacity+1))
	c.missing(k, "that is larger than the cache, or was replaced by one")
	c.see(s, other, value(other, 1, 100)) // nothing had to go for it
	if after := c.Stats(); after.Declined == before.Declined || after.Bytes > after.Capacity {
		t.Errorf("oversize value: %+v", after)
	}
}

func (s *suite) stats(t *testing.T, c *tier) {
	const keys, gets = 20, 100
	before := c.Stats()
	for i := range keys {
		k := key(cache.Head, i)
		c.put(k, value(k, 1, 1000))
	}
	for i := range gets {
		c.get(key(cache.Head, i))
	}
	after := c.Stats()
	if n := after.Puts - before.Puts; n < keys {
		t.Errorf("%d puts counted, %d made", n, keys)
	}
	if n := after.Hits + after.Misses - before.Hits - before.Misses; n != gets {
		t.Errorf("%d hits and misses counted of %d gets", n, gets)
	}
	if s.Roomy && (after.Entries < keys || after.Bytes < keys*1000 || after.Hits-before.Hits != keys) {
		t.Errorf("holding %d values of 1000 bytes: %+v", keys, after)
	}
	for i := range gets {
		c.del(key(cache.Head, i))
	}
	if last := c.Stats(); last.Entries != 0 || last.Bytes != 0 {
		t.Errorf("when everything is deleted: %+v", last)
	} else if s.Roomy && last.Deletes-before.Deletes < keys {
		t.Errorf("%d deletes counted, %d made of what was there", last.Deletes-before.Deletes, keys)
	}
}

func (s *suite) close(t *testing.T, c *tier) {
	k := key(cache.Head, 1)
	c.put(k, value(k, 1, 100))
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	c.put(k, value(k, 2, 100))
	if _, err := c.Get(t.Context(), k); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("Get after Close: %v", err)
	}
	c.del(k)
	c.Stats()
}
