package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"meridian/edge/cache"
	"meridian/edge/cache/memory"
	"meridian/edge/cache/policy"
)

// result is what share of requests, and of bytes, was answered from a cache.
type result struct{ hits, bytes float64 }

type counter struct{ requests, hits, bytes, hitBytes int64 }

func (c *counter) count(r request, hit bool) {
	c.requests++
	c.bytes += r.size
	if hit {
		c.hits++
		c.hitBytes += r.size
	}
}

func (c *counter) result() result {
	return result{float64(c.hits) / float64(c.requests), float64(c.hitBytes) / float64(c.bytes)}
}

// contender is a row of the table.
type contender struct {
	name   string
	replay func(t trace, budget int64, items int) (result, error)
}

const oursName = "ours"

func contenders(pace time.Duration) []contender {
	alone := func(open func(int64) cacher) func(trace, int64, int) (result, error) {
		return func(t trace, budget int64, _ int) (result, error) { return replay(open(budget), t), nil }
	}
	return []contender{
		{"MIN", func(t trace, budget int64, _ int) (result, error) { return replayMIN(t, budget), nil }},
		{"LRU", alone(newLRU)},
		{"S3-FIFO", alone(newS3FIFO)},
		{"GDSF", alone(newGDSF)},
		{oursName, alone(newOurs)},
		{"ours in the memory tier, 4 callers", func(t trace, budget int64, _ int) (result, error) { return replayTier(t, budget, 4) }},
		{"otter", func(t trace, budget int64, _ int) (result, error) { return replayOtter(t, budget, pace) }},
		{"Ristretto", func(t trace, budget int64, items int) (result, error) { return replayRistretto(t, budget, items, pace) }},
	}
}

func replay(c cacher, t trace) result {
	var n counter
	for _, r := range t.requests {
		n.count(r, c.get(r))
	}
	return n.result()
}

// ours is the policy of the memory tier.
type ours struct {
	policy policy.Policy
	held   map[uint64]*policy.Entry
}

func newOurs(budget int64) cacher {
	return &ours{policy.New(budget), map[uint64]*policy.Entry{}}
}

func (c *ours) get(r request) bool {
	if e, ok := c.held[r.key]; ok {
		c.policy.Touch(e)
		return true
	}
	e := &policy.Entry{Hash: mix(r.key), Size: r.size, Owner: r.key}
	c.held[r.key] = e
	for _, out := range c.policy.Add(e) {
		delete(c.held, out.Owner.(uint64))
	}
	return false
}

// replayTier sends the trace through a real memory tier from several callers at
// once. Values share their bytes: the tier counts what each says it takes.
func replayTier(t trace, budget int64, callers int) (result, error) {
	m, err := memory.New(memory.Config{HeadBytes: max(budget, memory.MinClassBytes), SliceBytes: memory.MinClassBytes})
	if err != nil {
		return result{}, err
	}
	defer func() { _ = m.Close() }() // memory only
	var largest int64
	for _, r := range t.requests {
		largest = max(largest, r.size)
	}
	shared := make([]byte, largest)
	var next atomic.Int64
	var sum counter
	var mu sync.Mutex
	var running sync.WaitGroup
	var failed error
	for range callers {
		running.Go(func() {
			var n counter
			var wrong error
			ctx := context.Background()
			for i := next.Add(1) - 1; i < int64(len(t.requests)) && wrong == nil; i = next.Add(1) - 1 {
				r := t.requests[i]
				k := cache.Key{Class: cache.Head, Name: strconv.FormatUint(r.key, 36)}
				_, err := m.Get(ctx, k)
				n.count(r, err == nil)
				if err != nil {
					wrong = m.Put(ctx, k, shared[:r.size:r.size])
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.requests += n.requests
			sum.hits += n.hits
			sum.bytes += n.bytes
			sum.hitBytes += n.hitBytes
			if wrong != nil {
				failed = wrong
			}
		})
	}
	running.Wait()
	return sum.result(), failed
}

// paced replays at no more than a request every pace: a cache that applies what
// it is told in the background would otherwise be judged by what it drops.
func paced(t trace, pace time.Duration, get func(request) bool) result {
	var n counter
	due := time.Now()
	for _, r := range t.requests {
		n.count(r, get(r))
		due = due.Add(pace)
		for time.Now().Before(due) { //nolint:revive // shorter than any sleep
		}
	}
	return n.result()
}

func replayOtter(t trace, budget int64, pace time.Duration) (result, error) {
	c, err := otter.New(&otter.Options[uint64, int64]{
		MaximumWeight: uint64(budget),
		Weigher:       func(_ uint64, size int64) uint32 { return uint32(size) },
	})
	if err != nil {
		return result{}, err
	}
	defer c.StopAllGoroutines()
	return paced(t, pace, func(r request) bool {
		if _, ok := c.GetIfPresent(r.key); ok {
			return true
		}
		c.Set(r.key, r.size)
		return false
	}), nil
}

func replayRistretto(t trace, budget int64, items int, pace time.Duration) (result, error) {
	c, err := newRistretto(budget, items)
	if err != nil {
		return result{}, err
	}
	defer c.Close()
	return paced(t, pace, func(r request) bool { return askRistretto(c, r) }), nil
}

func newRistretto(budget int64, items int) (*ristretto.Cache[uint64, int64], error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, int64]{
		NumCounters: int64(10 * items), MaxCost: budget, BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("open ristretto: %w", err)
	}
	return c, nil
}

func askRistretto(c *ristretto.Cache[uint64, int64], r request) bool {
	if _, ok := c.Get(r.key); ok {
		return true
	}
	c.Set(r.key, r.size, r.size)
	return false
}
