package tally

import (
	"sync"
	"sync/atomic"
	"time"

	"meridian/metadata"
)

// cellParts is how many requests of a Cell may be counted at once.
const cellParts = 8

// Cell counts requests of one bucket and class, for whoever answers so many of
// them that a look-up for each, and one lock for all, would cost too much. It may
// be dropped at any time: what it counted is not lost.
type Cell struct {
	tally         *Tally
	bucket, class string
	parts         [cellParts]part
}

type part struct {
	mu     sync.Mutex
	cell   *Cell
	listed bool  // in Tally.parts: it counts in the minute
	minute int64 // Unix, /60
	counts metadata.Counter
	_      [64]byte // keep neighbours off this cache line
}

// collection is what a part has counted.
type collection struct {
	key    counterKey
	counts metadata.Counter
}

// Cell returns a new Cell. Several of the same bucket and class add up.
func (t *Tally) Cell(bucket, class string) *Cell {
	c := &Cell{tally: t, bucket: bucket, class: class}
	for i := range c.parts {
		c.parts[i].cell = c
	}
	return c
}

// Add counts a request that ended at now, but for its view; Bucket, Key and Class
// of s do not matter. Those who call it at once best name different workers.
func (c *Cell) Add(worker int, now time.Time, s *Sample) {
	p := &c.parts[worker%cellParts]
	minute := now.Unix() / 60
	p.mu.Lock()
	if !p.listed || p.minute != minute {
		p.begin(minute)
	}
	add(&p.counts, s)
	p.mu.Unlock()
}

// begin makes p count in another minute.
func (p *part) begin(minute int64) {
	t := p.cell.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.listed {
		c := p.cut()
		t.merge(&c)
	} else {
		t.parts = append(t.parts, p)
	}
	p.listed, p.minute = true, minute
}

// cut takes what p has counted.
func (p *part) cut() collection {
	c := collection{counterKey{p.minute * 60, p.cell.bucket, p.cell.class}, p.counts}
	p.counts = metadata.Counter{}
	return c
}

func (p *part) collect() collection {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed = false
	return p.cut()
}

// merge adds what a part has counted, with t.mu held.
func (t *Tally) merge(c *collection) {
	to, o := t.counter(c.key), &c.counts
	to.Requests += o.Requests
	to.Hits += o.Hits
	to.Misses += o.Misses
	to.Stale += o.Stale
	to.Revalidated += o.Revalidated
	to.Pass += o.Pass
	to.AnsweredRegional += o.AnsweredRegional
	to.AnsweredOrigin += o.AnsweredOrigin
	to.Bytes += o.Bytes
	to.HitBytes += o.HitBytes
	to.Latency.Merge(o.Latency)
}

// Views counts those of one object, without a look-up for each.
type Views struct {
	tally  *Tally
	key    viewKey
	n      atomic.Int64
	listed atomic.Bool // in Tally.viewed
}

// Viewed makes v count the views of an object. It may be dropped at any time.
func (t *Tally) Viewed(v *Views, bucket, key string) { v.tally, v.key = t, viewKey{bucket, key} }

// Add counts one.
func (v *Views) Add() {
	v.n.Add(1)
	if v.listed.Load() || !v.listed.CompareAndSwap(false, true) {
		return
	}
	t := v.tally
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.viewed) >= maxViews {
		v.collect()
		return
	}
	t.viewed = append(t.viewed, v)
}

// collect takes what was counted. What is counted from here on lists v again.
func (v *Views) collect() int64 {
	v.listed.Store(false)
	return v.n.Swap(0)
}
