// Package policy decides which values a cache keeps.
package policy

import "sync"

const (
	// maxFreq is as far as hits of an entry are counted.
	maxFreq = 3
	// smallShare is the part of the budget, 1 in so many, that newcomers get.
	smallShare = 10
)

// S3FIFO is the Policy of this package; see the package comment.
type S3FIFO struct {
	mu          sync.Mutex
	budget      int64
	entries     int64
	small, main list
	ghosts      *ghosts
}

var _ Policy = (*S3FIFO)(nil)

// New returns the policy of a cache that may hold budget bytes.
func New(budget int64) *S3FIFO {
	return &S3FIFO{budget: budget, ghosts: newGhosts(budget)}
}

// Touch implements Policy.
func (p *S3FIFO) Touch(e *Entry) {
	if e.freq.Load() < maxFreq {
		e.freq.Add(1) // a race may count one hit too many, which is harmless
	}
}

// Add implements Policy.
func (p *S3FIFO) Add(e *Entry) (evicted []*Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.queue == gone {
		return []*Entry{e}
	}
	if p.ghosts.take(e.Hash) {
		p.main.push(e, inMain)
	} else {
		p.small.push(e, inSmall)
	}
	p.entries++
	for p.small.bytes+p.main.bytes > p.budget {
		if out := p.evict(); out != nil {
			evicted = append(evicted, out)
		}
	}
	return evicted
}

// evict judges one entry, and returns it if it has to go.
func (p *S3FIFO) evict() *Entry {
	if p.small.bytes > p.budget/smallShare || p.main.tail == nil {
		e := p.small.tail
		p.small.remove(e)
		if e.freq.Load() > 0 {
			e.freq.Store(0)
			p.main.push(e, inMain)
			return nil
		}
		p.ghosts.add(e.Hash, e.Size)
		return p.out(e)
	}
	e := p.main.tail
	p.main.remove(e)
	if f := e.freq.Load(); f > 0 {
		e.freq.Store(f - 1)
		p.main.push(e, inMain)
		return nil
	}
	return p.out(e)
}

func (p *S3FIFO) out(e *Entry) *Entry {
	e.queue = gone
	p.entries--
	return e
}

// Remove implements Policy.
func (p *S3FIFO) Remove(e *Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.queue {
	case inSmall:
		p.small.remove(e)
	case inMain:
		p.main.remove(e)
	default:
		e.queue = gone
		return false
	}
	p.out(e)
	return true
}

// Size implements Policy.
func (p *S3FIFO) Size() (entries, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries, p.small.bytes + p.main.bytes
}
