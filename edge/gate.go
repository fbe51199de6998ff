package edge

import (
	"sync/atomic"
	"time"
)

// gate counts running requests, and lets none in once it is shut.
type gate struct {
	running atomic.Int64
	closed  atomic.Bool
	idle    chan struct{} // holds one; filled when the last one leaves a shut gate
}

func (g *gate) enter() bool {
	g.running.Add(1)
	if g.closed.Load() {
		g.leave()
		return false
	}
	return true
}

func (g *gate) leave() {
	if g.running.Add(-1) == 0 && g.closed.Load() {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// shut lets nobody in any more and waits for those who are, up to d. It reports
// whether all have left.
func (g *gate) shut(d time.Duration) bool {
	g.closed.Store(true)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for g.running.Load() > 0 {
		select {
		case <-g.idle: // look again: one who was refused may have filled it
		case <-timer.C:
			return false
		}
	}
	return true
}
