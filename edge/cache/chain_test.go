package cache_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"meridian/edge/cache"
	"meridian/edge/cache/cachetest"
	"meridian/edge/cache/memory"
)

func openMemory(t *testing.T, cfg memory.Config) *memory.Tier {
	t.Helper()
	m, err := memory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestChainConformance(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, cachetest.Options{Roomy: true}, func(t *testing.T) cache.Tier {
		// The upper tier forgets all the time, so that values are copied up.
		return cache.NewChain(
			openMemory(t, memory.Config{HeadBytes: 64 << 10, SliceBytes: 2 << 20}),
			openMemory(t, memory.Config{HeadBytes: 8 << 20, SliceBytes: 8 << 20}),
		)
	})
}

var (
	ctx = context.Background
	k   = cache.Key{Class: cache.Head, Name: "bucket/key"}
)

func want(t *testing.T, what string, c cache.Tier, v []byte) {
	t.Helper()
	got, err := c.Get(t.Context(), k)
	switch {
	case v == nil && !errors.Is(err, cache.ErrMiss):
		t.Errorf("%s: got %q, %v, want a miss", what, got, err)
	case v != nil && (err != nil || !bytes.Equal(got, v)):
		t.Errorf("%s: got %q, %v, want %q", what, got, err, v)
	}
}

func TestChainCopiesUp(t *testing.T) {
	t.Parallel()
	upper, lower := openMemory(t, memory.Split(4<<20)), openMemory(t, memory.Split(4<<20))
	c := cache.NewChain(upper, lower)
	v := []byte("value")
	if err := lower.Put(t.Context(), k, v); err != nil {
		t.Fatal(err)
	}
	want(t, "upper, before", upper, nil)
	want(t, "chain", c, v)
	want(t, "upper, after", upper, v)
	if st := c.Stats(); st.Hits != 2 || st.Misses != 0 { // one of them ours, above
		t.Errorf("%+v", st)
	}
	if err := c.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	want(t, "upper, deleted", upper, nil)
	want(t, "lower, deleted", lower, nil)
	want(t, "chain, deleted", c, nil)
}

// gate is a tier whose next operation waits to be let through.
type gate struct {
	cache.Tier
	get, put chan struct{} // nil: open
}

func (g *gate) Get(ctx context.Context, k cache.Key) ([]byte, error) {
	v, err := g.Tier.Get(ctx, k)
	if g.get != nil {
		<-g.get
	}
	return v, err
}

func (g *gate) Put(ctx context.Context, k cache.Key, v []byte) error {
	if g.put != nil {
		<-g.put
	}
	return g.Tier.Put(ctx, k, v)
}

// plain is a tier without goroutines of its own, as synctest wants it.
type plain struct{ m map[cache.Key][]byte }

func (p *plain) Get(_ context.Context, k cache.Key) ([]byte, error) {
	if v, ok := p.m[k]; ok {
		return v, nil
	}
	return nil, cache.ErrMiss
}
func (p *plain) Put(_ context.Context, k cache.Key, v []byte) error { p.m[k] = v; return nil }
func (p *plain) Delete(_ context.Context, k cache.Key) error        { delete(p.m, k); return nil }
func (p *plain) Stats() cache.Stats                                 { return cache.Stats{} }
func (p *plain) Close() error                                       { return nil }

func newPlain() *plain { return &plain{m: map[cache.Key][]byte{}} }

// A value that is being read below when its key is deleted, or put anew, does not
// come up afterwards.
func TestChainCopiesNothingStaleUp(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *cache.Chain) []byte{
		"delete": func(c *cache.Chain) []byte { _ = c.Delete(ctx(), k); return nil },
		"put":    func(c *cache.Chain) []byte { _ = c.Put(ctx(), k, []byte("new")); return []byte("new") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				upper, lower := newPlain(), newPlain()
				lower.m[k] = []byte("old")
				g := &gate{Tier: lower, get: make(chan struct{})}
				c := cache.NewChain(upper, g)
				go func() { _, _ = c.Get(ctx(), k) }()
				synctest.Wait() // has read the old value
				after := change(c)
				close(g.get)
				synctest.Wait()
				want(t, "upper", upper, after)
				want(t, "lower", lower, after)
			})
		})
	}
}

// A Put that is under way when Delete is called leaves nothing behind.
func TestChainDeleteBeatsRunningPut(t *testing.T) {
	t.Parallel()
	upper, lower := newPlain(), newPlain()
	g := &gate{Tier: lower, put: make(chan struct{})}
	c := cache.NewChain(upper, g)
	var running sync.WaitGroup
	running.Go(func() { _ = c.Put(ctx(), k, []byte("first")) })
	g.put <- struct{}{} // Put is inside the lower tier
	close(g.put)
	running.Go(func() { _ = c.Delete(ctx(), k) })
	running.Wait()
	want(t, "upper", upper, nil)
	want(t, "lower", lower, nil)
}

type broken struct{ plain }

var errBroken = errors.New("broken")

func (b *broken) Get(context.Context, cache.Key) ([]byte, error) { return nil, errBroken }

func TestChainPassesOverATierThatFails(t *testing.T) {
	t.Parallel()
	lower := newPlain()
	c := cache.NewChain(&broken{*newPlain()}, lower)
	if _, err := c.Get(t.Context(), k); !errors.Is(err, errBroken) {
		t.Errorf("nobody has it: %v", err)
	}
	lower.m[k] = []byte("value")
	want(t, "chain", c, []byte("value"))
}

func TestChainPutsIntoTheTopmostTierAlone(t *testing.T) {
	t.Parallel()
	upper, lower := openMemory(t, memory.Split(4<<20)), openMemory(t, memory.Split(4<<20))
	c := cache.NewChain(upper, lower)
	older, secret := []byte("older"), []byte("secret")
	if err := c.Put(t.Context(), k, older); err != nil {
		t.Fatal(err)
	}
	if err := c.PutTopmost(t.Context(), k, secret); err != nil {
		t.Fatal(err)
	}
	want(t, "below", lower, nil)
	want(t, "above", upper, secret)
	want(t, "the chain", c, secret)
	if err := c.Delete(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	want(t, "deleted", c, nil)
}
