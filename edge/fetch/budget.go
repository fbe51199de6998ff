package fetch

import (
	"sync"
	"time"
)

// The retry budget of an Upstream: what it asks beyond the first attempt of each
// Fetch. Without it, an upstream that begins to fail under its load would get
// three times that load.
const (
	retryShare   = 0.2 // of the requests
	retryReserve = 50  // to begin with, and the most that is saved up
	retryRefill  = 1.0 // a second, for those who ask seldom
)

// budget is a bucket of retries.
type budget struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBudget(now time.Time) *budget { return &budget{tokens: retryReserve, last: now} }

// request is told of every Fetch.
func (b *budget) request() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+retryShare, retryReserve)
}

// take reports whether one more may be asked.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.tokens+d.Seconds()*retryRefill, retryReserve)
		b.last = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
