package policy

import (
	"math"
	"math/bits"
	"sync"
)

const (
	// maxHits is as far as hits of an entry count.
	maxHits = 15
	levels  = maxHits + 1

	// hitWeight and newWeight are what a hit and a newcomer count.
	hitWeight, newWeight = 8, 1
	// unit makes the value of a byte's part of a hit a whole number.
	unit = 1 << 36

	// Sizes are told apart by half powers of two, between these.
	minSizeBits, maxSizeBits = 8, 24
	classes                  = 2 * (maxSizeBits - minSizeBits + 1)
)

// Greedy is the Policy of this package; see the package comment.
type Greedy struct {
	mu             sync.Mutex
	budget         int64
	entries, bytes int64
	kept           int64 // bytes of what is passed over once
	// clock is L: when the entry evicted last was due. It only grows.
	clock  uint64
	queues [levels][classes]queue
	// tails is when the tail of each queue is due, first the least of them for
	// each level: never, if there is none.
	tails  [levels][classes]uint64
	first  [levels]uint64
	ghosts ghosts
}

const never = math.MaxUint64

var _ Policy = (*Greedy)(nil)

// New returns the policy of a cache that may hold budget bytes.
func New(budget int64) *Greedy {
	p := &Greedy{budget: budget}
	for level := range p.tails {
		p.first[level] = never
		for class := range p.tails[level] {
			p.tails[level][class] = never
		}
	}
	return p
}

// Touch implements Policy.
func (p *Greedy) Touch(e *Entry) {
	if e.hits.Load() < maxHits {
		e.hits.Add(1) // a race counts one hit too many, which is capped later
	}
}

// Add implements Policy.
func (p *Greedy) Add(e *Entry) (evicted []*Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.state != unknown || e.Size > p.budget {
		e.state = gone
		return []*Entry{e}
	}
	for p.bytes+e.Size > p.budget {
		out, refused := p.judge(e)
		if refused {
			e.state = gone
			return append(evicted, e)
		}
		if out != nil {
			evicted = append(evicted, out)
		}
	}
	e.level = min(e.Hits, maxHits)
	if hits, ok := p.ghosts.take(e.Hash); ok {
		e.level = max(e.level, min(hits+1, maxHits))
	}
	e.state, e.class = held, classOf(e.Size)
	p.entries++
	p.bytes += e.Size
	p.enqueue(e)
	return evicted
}

// judge takes the entry that is due first. It goes, unless it was asked for since
// it was judged last, or is kept. Where it would have to go for a guest of less
// account, that is refused, and nothing changes; added is nil where nothing is
// added.
func (p *Greedy) judge(added *Entry) (out *Entry, refused bool) {
	level := least(p.first[:])
	class := least(p.tails[level][:])
	e := p.queues[level][class].tail
	hits := e.hits.Load()
	if added != nil && added.Guest && hits == 0 && !e.kept && e.level > added.Hits {
		return nil, true
	}
	p.clock = e.due
	p.dequeue(e)
	hits = e.hits.Swap(0)
	if hits > 0 || e.kept {
		p.unkeep(e)
		e.level = uint8(min(uint32(e.level)+hits, maxHits))
		p.enqueue(e)
		return nil, false
	}
	p.forget(e)
	p.ghosts.add(e.Hash, e.level, p.entries)
	return e, false
}

// keptShare is the part of the budget that may be kept: one in so many bytes.
const keptShare = 2

// Keep implements Policy.
func (p *Greedy) Keep(e *Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.state == held && !e.kept && p.kept+e.Size <= p.budget/keptShare {
		e.kept = true
		p.kept += e.Size
	}
	return e.kept
}

func (p *Greedy) unkeep(e *Entry) {
	if e.kept {
		e.kept = false
		p.kept -= e.Size
	}
}

// enqueue lets e stay until it is due.
func (p *Greedy) enqueue(e *Entry) {
	weight := uint64(newWeight)
	if e.level > 0 {
		weight = hitWeight * uint64(e.level)
	}
	// All of a queue add the same to a clock that only grows: it is sorted.
	e.due = p.clock + weight*(unit/nominalSize(e.class))
	q := &p.queues[e.level][e.class]
	q.push(e)
	if q.tail == e {
		p.tails[e.level][e.class] = e.due
		p.first[e.level] = min(p.first[e.level], e.due)
	}
}

func (p *Greedy) dequeue(e *Entry) {
	q, tails := &p.queues[e.level][e.class], &p.tails[e.level]
	wasTail := q.tail == e
	q.remove(e)
	if !wasTail {
		return
	}
	if tails[e.class] = never; q.tail != nil {
		tails[e.class] = q.tail.due
	}
	p.first[e.level] = tails[least(tails[:])]
}

func (p *Greedy) forget(e *Entry) {
	e.state = gone
	p.unkeep(e)
	p.entries--
	p.bytes -= e.Size
}

// Remove implements Policy.
func (p *Greedy) Remove(e *Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.state != held {
		e.state = gone
		return false
	}
	p.dequeue(e)
	p.forget(e)
	return true
}

// Shrink implements Policy.
func (p *Greedy) Shrink(n int64) (evicted []*Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for goal := p.bytes - n; p.entries > 0 && p.bytes > goal; {
		if out, _ := p.judge(nil); out != nil {
			evicted = append(evicted, out)
		}
	}
	return evicted
}

// Heat implements Policy.
func (p *Greedy) Heat(e *Entry) uint8 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint8(min(uint32(e.level)+e.hits.Load(), maxHits))
}

// Size implements Policy.
func (p *Greedy) Size() (entries, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries, p.bytes
}

// least is the index of the least number.
func least(due []uint64) int {
	at := 0
	for i, d := range due {
		if d < due[at] {
			at = i
		}
	}
	return at
}

// classOf tells sizes apart by half powers of two.
func classOf(size int64) uint8 {
	s := uint64(min(max(size, 1<<minSizeBits), 1<<(maxSizeBits+1)-1))
	n := bits.Len64(s) - 1 // s is in [1<<n, 2<<n)
	return uint8(2*(n-minSizeBits)) + uint8(s>>(n-1)&1)
}

// nominalSize stands for all sizes of a class: the least of them.
func nominalSize(class uint8) uint64 {
	return uint64(2+class&1) << (minSizeBits + class/2 - 1)
}
