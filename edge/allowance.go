package edge

import (
	"sync/atomic"
	"time"
)

// allowance is how many bytes may be fetched ahead: so many a minute, and what was
// not spent for a minute at most. It may be overdrawn by what is under way.
type allowance struct {
	perMinute int64
	left      atomic.Int64
}

func newAllowance(perMinute int64) *allowance {
	a := &allowance{perMinute: perMinute}
	a.left.Store(perMinute)
	return a
}

// earn adds what a time allows. It is called by one goroutine.
func (a *allowance) earn(in time.Duration) {
	more := int64(float64(a.perMinute) * in.Minutes())
	a.left.Add(min(more, a.perMinute-a.left.Load()))
}

func (a *allowance) has() bool     { return a.left.Load() > 0 }
func (a *allowance) spend(n int64) { a.left.Add(-n) }
