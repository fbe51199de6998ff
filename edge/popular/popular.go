// Package popular tells which names are asked for most, lately, in an amount of
// memory that does not depend on how many names there are.
//
// A request counts one when it is made and half as much a half-life later. Three
// things are kept:
//
//   - A count-min sketch (Cormode and Muthukrishnan, 2005) with conservative
//     update: for any name a count that is never too low, and too high by more
//     than a few parts in a hundred thousand of all requests for few names.
//   - The names with the highest counts. While a name is among them it is counted
//     exactly; what it came with is the sketch's.
//   - A sample of names, those with the least hashes, counted exactly, which
//     tells how many different names there are: what one per cent of them is.
//
// Nothing is halved at any time. Counts are kept in the weight of a request at a
// landmark, and a later request adds more than an earlier one (forward decay,
// Cormode and others, 2009): so all counts only grow, and compare with each other
// as they are.
package popular

import (
	"cmp"
	"container/heap"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"
)

// Config describes a Counter.
type Config struct {
	// HalfLife is the time in which what was counted loses half of its weight.
	HalfLife time.Duration
	// Names is how many names are kept at most; the others are known to the
	// sketch only. A name kept takes some 100 bytes beyond its own, the sketch 128
	// bytes for each.
	Names int
	Now   func() time.Time
}

// Item is a name and how often it was asked for, in requests of now.
type Item struct {
	Name  string
	Count float64
}

// Counter counts. Its methods may run at once.
type Counter struct {
	cfg  Config
	seed maphash.Seed

	mu       sync.Mutex
	landmark time.Time // when a request weighs 1
	sketch   sketch
	hot      map[string]*hotName
	coldest  coldest // the same
	sample   sample
}

// faded is the count below which a name is taken to be forgotten.
const faded = 0.5

// maxExponent is how many half-lives the landmark may lie back: numbers stay far
// from where they lose precision.
const maxExponent = 64

// New returns a Counter that has counted nothing.
func New(cfg Config) *Counter {
	return &Counter{
		cfg: cfg, seed: maphash.MakeSeed(), landmark: cfg.Now(),
		sketch: newSketch(4 * cfg.Names), hot: map[string]*hotName{}, sample: newSample(),
	}
}

// Add counts n requests for a name.
func (c *Counter) Add(name string, n float64) {
	hash := maphash.String(c.seed, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	weight := n * c.weight()
	count := c.sketch.add(hash, weight)
	c.sample.add(hash, weight)
	if h := c.hot[name]; h != nil {
		h.count += weight
		return
	}
	if len(c.hot) < c.cfg.Names {
		h := &hotName{name: name, count: count, seen: count}
		c.hot[name] = h
		heap.Push(&c.coldest, h)
		return
	}
	h := c.coldest.first()
	if h == nil || h.count >= count {
		return
	}
	delete(c.hot, h.name)
	*h = hotName{name: name, count: count, seen: count}
	c.hot[name] = h
	heap.Fix(&c.coldest, 0)
}

// weight is what a request of now weighs, under the lock. It moves the landmark
// where that lies far back.
func (c *Counter) weight() float64 {
	now := c.cfg.Now()
	lives := float64(now.Sub(c.landmark)) / float64(c.cfg.HalfLife)
	if lives < maxExponent {
		return math.Exp2(max(lives, 0)) // the clock may have been set back
	}
	shrink := math.Exp2(-lives)
	c.landmark = now
	c.sketch.scale(shrink)
	c.sample.scale(shrink)
	for _, h := range c.hot {
		h.count *= shrink
		h.seen *= shrink
	}
	return 1
}

// Count tells how often a name was asked for: never less than it was.
func (c *Counter) Count(name string) float64 {
	hash := maphash.String(c.seed, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	weight := c.weight()
	if h := c.hot[name]; h != nil {
		return h.count / weight
	}
	return c.sketch.count(hash) / weight
}

// Names estimates how many different names were asked for, those aside that are
// forgotten by now. It is exact for some hundreds.
func (c *Counter) Names() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sample.names(faded * c.weight())
}

// Top returns the names with the highest counts, the highest first: that part of
// all names, at least one, of which each was asked for least times or more. There
// are no more of them than are kept.
func (c *Counter) Top(part, least float64) []Item {
	c.mu.Lock()
	weight := c.weight()
	n := int(math.Ceil(part * c.sample.names(faded*weight)))
	items := make([]Item, 0, len(c.hot))
	for _, h := range c.hot {
		if count := h.count / weight; count >= least {
			items = append(items, Item{h.name, count})
		}
	}
	c.mu.Unlock()
	slices.SortFunc(items, func(a, b Item) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name)) })
	return items[:min(n, len(items))]
}

// hotName is one of the names with the highest counts. seen is the count by which
// it lies in the heap, which is put right when it comes to the top.
type hotName struct {
	name        string
	count, seen float64
}

// coldest is a heap of them, the lowest count first.
type coldest []*hotName

func (h *coldest) Len() int           { return len(*h) }
func (h *coldest) Less(i, j int) bool { return (*h)[i].seen < (*h)[j].seen }
func (h *coldest) Swap(i, j int)      { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }
func (h *coldest) Push(x any)         { *h = append(*h, x.(*hotName)) }
func (h *coldest) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// first is the name with the lowest count. Counts only grow, so whoever is at the
// top by an old one may have to go down.
func (h *coldest) first() *hotName {
	for len(*h) > 0 {
		top := (*h)[0]
		if top.seen == top.count {
			return top
		}
		top.seen = top.count
		heap.Fix(h, 0)
	}
	return nil
}
