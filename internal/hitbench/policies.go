package main

import (
	"container/heap"
	"container/list"
	"math"
)

// cacher is a cache that is asked for one key after the other, and takes in what
// it did not have.
type cacher interface {
	// get reports a hit.
	get(r request) bool
}

// lru evicts what was asked for least recently.
type lru struct {
	budget, used int64
	order        *list.List
	held         map[uint64]*list.Element
}

func newLRU(budget int64) cacher {
	return &lru{budget: budget, order: list.New(), held: map[uint64]*list.Element{}}
}

func (c *lru) get(r request) bool {
	if e, ok := c.held[r.key]; ok {
		c.order.MoveToFront(e)
		return true
	}
	if r.size > c.budget {
		return false
	}
	c.held[r.key] = c.order.PushFront(r)
	for c.used += r.size; c.used > c.budget; {
		last := c.order.Remove(c.order.Back()).(request)
		delete(c.held, last.key)
		c.used -= last.size
	}
	return false
}

// s3fifo is S3-FIFO (Yang and others, SOSP 2023) in bytes: a small queue of a
// tenth, a main queue, and ghosts of as many bytes as the main queue holds.
type s3fifo struct {
	small, main, ghost fifo
	items              map[uint64]*s3item
}

type s3item struct {
	request
	freq uint8
}

// fifo is a queue of requests with a budget; ghosts are a fifo of which nothing
// but the keys is held.
type fifo struct {
	budget, used int64
	queue        list.List
	at           map[uint64]*list.Element
}

func (f *fifo) push(r request) { f.at[r.key] = f.queue.PushFront(r); f.used += r.size }

func (f *fifo) pop() (request, bool) {
	e := f.queue.Back()
	if e == nil {
		return request{}, false
	}
	return f.drop(e), true
}

func (f *fifo) drop(e *list.Element) request {
	r := f.queue.Remove(e).(request)
	delete(f.at, r.key)
	f.used -= r.size
	return r
}

func newS3FIFO(budget int64) cacher {
	q := func(b int64) fifo { return fifo{budget: b, at: map[uint64]*list.Element{}} }
	return &s3fifo{small: q(budget / 10), main: q(budget - budget/10), ghost: q(budget - budget/10), items: map[uint64]*s3item{}}
}

func (c *s3fifo) get(r request) bool {
	if it, ok := c.items[r.key]; ok {
		it.freq = min(it.freq+1, 3)
		return true
	}
	if r.size > c.main.budget {
		return false
	}
	c.items[r.key] = &s3item{request: r}
	if e, ok := c.ghost.at[r.key]; ok {
		c.ghost.drop(e)
		c.main.push(r)
	} else {
		c.small.push(r)
	}
	for c.small.used+c.main.used > c.small.budget+c.main.budget {
		if c.small.used > c.small.budget || c.main.queue.Len() == 0 {
			c.evictSmall()
		} else {
			c.evictMain()
		}
	}
	return false
}

func (c *s3fifo) evictSmall() {
	r, ok := c.small.pop()
	switch {
	case !ok:
	case c.items[r.key].freq > 1:
		c.items[r.key].freq = 0
		c.main.push(r)
	default:
		delete(c.items, r.key)
		c.ghost.push(r)
		for c.ghost.used > c.ghost.budget {
			c.ghost.pop()
		}
	}
}

func (c *s3fifo) evictMain() {
	for {
		r, ok := c.main.pop()
		if !ok {
			return
		}
		it := c.items[r.key]
		if it.freq == 0 {
			delete(c.items, r.key)
			return
		}
		it.freq--
		c.main.push(r)
	}
}

// gdsf is GreedyDual-Size-Frequency (Cherkasova, 1998).
type gdsf struct {
	budget, used int64
	clock        float64
	heap         byValue
	held         map[uint64]*gdsfItem
}

type gdsfItem struct {
	request
	value float64
	freq  float64
	index int
}

func newGDSF(budget int64) cacher { return &gdsf{budget: budget, held: map[uint64]*gdsfItem{}} }

func (c *gdsf) get(r request) bool {
	if it, ok := c.held[r.key]; ok {
		it.freq++
		it.value = c.clock + it.freq/float64(it.size)
		heap.Fix(&c.heap, it.index)
		return true
	}
	if r.size > c.budget {
		return false
	}
	for c.used+r.size > c.budget {
		out := heap.Pop(&c.heap).(*gdsfItem)
		c.clock = out.value
		c.used -= out.size
		delete(c.held, out.key)
	}
	it := &gdsfItem{request: r, freq: 1, value: c.clock + 1/float64(r.size)}
	heap.Push(&c.heap, it)
	c.held[r.key] = it
	c.used += r.size
	return false
}

type byValue []*gdsfItem

func (h byValue) Len() int           { return len(h) }
func (h byValue) Less(i, j int) bool { return h[i].value < h[j].value }
func (h byValue) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *byValue) Push(x any) { it := x.(*gdsfItem); it.index = len(*h); *h = append(*h, it) }
func (h *byValue) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// replayMIN is Belady's: it evicts what is asked for again latest, the newcomer
// included. With items of unlike size it is no longer the optimum of hits, but
// nothing that does not know the future has come above it.
func replayMIN(t trace, budget int64) result {
	const never = math.MaxInt
	next := make([]int, len(t.requests))
	last := map[uint64]int{}
	for i := len(t.requests) - 1; i >= 0; i-- {
		key := t.requests[i].key
		next[i] = never
		if at, ok := last[key]; ok {
			next[i] = at
		}
		last[key] = i
	}
	var c counter
	held := map[uint64]*minItem{}
	var order byNext
	used := int64(0)
	for i, r := range t.requests {
		it, hit := held[r.key]
		c.count(r, hit)
		switch {
		case hit:
			it.next = next[i]
			heap.Fix(&order, it.index)
		case r.size <= budget && next[i] != never:
			it = &minItem{request: r, next: next[i]}
			heap.Push(&order, it)
			held[r.key] = it
			used += r.size
		}
		for used > budget {
			out := heap.Pop(&order).(*minItem)
			delete(held, out.key)
			used -= out.size
		}
	}
	return c.result()
}

type minItem struct {
	request
	next  int
	index int
}

type byNext []*minItem

func (h byNext) Len() int           { return len(h) }
func (h byNext) Less(i, j int) bool { return h[i].next > h[j].next }
func (h byNext) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *byNext) Push(x any) { it := x.(*minItem); it.index = len(*h); *h = append(*h, it) }
func (h *byNext) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
