// Package cachetest is the conformance suite of cache.Tier: what an
// implementation, or a wrapper of one, has to do under whatever load.
package cachetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"testing"

	"meridian/edge/cache"
)

// Options tell what may be expected of the tiers under test.
type Options struct {
	// Roomy says that a tier has room for 4 MiB of values of each class, so that
	// a value put into it while it is empty becomes visible.
	Roomy bool
}

// Run runs the suite. Each test opens tiers of its own and closes them.
func Run(t *testing.T, o Options, open func(t *testing.T) cache.Tier) {
	s := suite{Options: o, open: open}
	for name, test := range map[string]func(*testing.T, *tier){
		"Miss":               s.miss,
		"PutGet":             s.putGet,
		"EmptyValue":         s.emptyValue,
		"SimilarKeys":        s.similarKeys,
		"PutOverPut":         s.putOverPut,
		"Delete":             s.delete,
		"DeleteIsAnOrder":    s.deleteIsAnOrder,
		"Oversize":           s.oversize,
		"Stats":              s.stats,
		"Holds":              s.holds,
		"Evicts":             s.evicts,
		"Ahead":              s.ahead,
		"Keeps":              s.keeps,
		"NeverOldNeverMixed": s.neverOldNeverMixed,
		"Bounded":            s.bounded,
		"Close":              s.close,
		"CloseWhileUsed":     s.closeWhileUsed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &tier{t: t, Tier: open(t)}
			t.Cleanup(func() {
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			test(t, c)
		})
	}
}

type suite struct {
	Options
	open func(t *testing.T) cache.Tier
}

// tier fails the test where a Tier fails, which conforming ones only do when
// their medium does.
type tier struct {
	t *testing.T
	cache.Tier
}

func (c *tier) put(k cache.Key, v []byte) {
	if err := c.Put(c.t.Context(), k, v); err != nil {
		c.t.Errorf("Put %q: %v", k.Name, err)
	}
}

func (c *tier) del(k cache.Key) {
	if err := c.Delete(c.t.Context(), k); err != nil {
		c.t.Errorf("Delete %q: %v", k.Name, err)
	}
}

// get returns the value, and whether there is one.
func (c *tier) get(k cache.Key) ([]byte, bool) {
	v, err := c.Get(c.t.Context(), k)
	if err != nil && !errors.Is(err, cache.ErrMiss) {
		c.t.Errorf("Get %q: %v", k.Name, err)
	}
	return v, err == nil
}

// see waits until a key has this value, which only a roomy tier owes, and fails
// on any other.
func (c *tier) see(s *suite, k cache.Key, want []byte) {
	c.t.Helper()
	for c.t.Context().Err() == nil {
		switch v, ok := c.get(k); {
		case ok && !bytes.Equal(v, want):
			c.t.Fatalf("%q has %d bytes that are not the %d put last", k.Name, len(v), len(want))
		case ok, !s.Roomy:
			return
		}
		runtime.Gosched()
	}
	c.t.Fatalf("%q never appeared", k.Name)
}

// missing fails if a key has a value.
func (c *tier) missing(k cache.Key, why string) {
	c.t.Helper()
	for range 100 {
		if _, ok := c.get(k); ok {
			c.t.Fatalf("%q has a value %s", k.Name, why)
		}
		runtime.Gosched()
	}
}

func key(class cache.Class, i int) cache.Key {
	return cache.Key{Class: class, Name: fmt.Sprintf("bucket/photos/%d.jpg", i)}
}

// value is size bytes, 32 at least, that tell key, sequence number and whether
// they are whole.
func value(k cache.Key, seq uint64, size int) []byte {
	v := make([]byte, max(size, 32))
	binary.BigEndian.PutUint64(v, seq)
	binary.BigEndian.PutUint32(v[8:], identity(k))
	for i := 16; i < len(v); i++ {
		v[i] = byte(seq) + byte(i)
	}
	binary.BigEndian.PutUint32(v[12:], crc32.ChecksumIEEE(v[16:]))
	return v
}

func identity(k cache.Key) uint32 {
	return crc32.ChecksumIEEE(append([]byte{byte(k.Class)}, k.Name...))
}

// sequence reads the sequence number of a value, and fails the test if it is
// another key's or not whole.
func sequence(t *testing.T, k cache.Key, v []byte) uint64 {
	t.Helper()
	switch {
	case len(v) < 32 || binary.BigEndian.Uint32(v[12:]) != crc32.ChecksumIEEE(v[16:]):
		t.Errorf("%q: a value of %d bytes is not whole", k.Name, len(v))
		return 0
	case binary.BigEndian.Uint32(v[8:]) != identity(k):
		t.Errorf("%q has the value of another key", k.Name)
		return 0
	}
	return binary.BigEndian.Uint64(v)
}
