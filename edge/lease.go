package edge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"meridian/metadata"
)

// leaseTime is how long a node may trust its heads after it last knew that it
// had heard of everything: counted from the moment it asked.
const leaseTime = 4 * time.Second

// lease tells whether the node knows all that was acknowledged a short while
// ago. A push is answered with the Seq of the newest event; once the feed has
// been applied up to it, the node knows all that was acknowledged before that
// push was sent, and may trust its heads until leaseTime after that. A feed that
// stalls, a metadata role out of reach or a lost notification all end in the
// same place: the lease runs out, and every head is revalidated.
type lease struct {
	now func() time.Time

	mu      sync.Mutex
	applied metadata.Seq
	changed chan struct{}             // closed when applied grows
	until   atomic.Pointer[time.Time] // changed under mu, read by every request without
	// promises are answers of pushes that the feed has not caught up with,
	// oldest first. Their number is bounded by that of pushes within a lease:
	// older ones can promise nothing any more.
	promises []promise
}

type promise struct {
	head metadata.Seq
	sent time.Time
}

func newLease(now func() time.Time) *lease {
	l := &lease{now: now, changed: make(chan struct{})}
	l.until.Store(&time.Time{})
	return l
}

// advance says that the feed is applied up to s.
func (l *lease) advance(s metadata.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Compare(l.applied) <= 0 {
		return
	}
	l.applied = s
	close(l.changed)
	l.changed = make(chan struct{})
	l.redeem()
}

// restart begins a new count at s, which may come before what was applied so
// far. Nothing is known to be current until the next promise.
func (l *lease) restart(s metadata.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied, l.promises = s, nil
	l.until.Store(&time.Time{})
	close(l.changed)
	l.changed = make(chan struct{})
}

// promise says that the node will know all that happened before sent once the
// feed is applied up to head.
func (l *lease) promise(head metadata.Seq, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.promises = append(l.promises, promise{head, sent})
	l.redeem()
}

// redeem extends the lease by the promises that are fulfilled, and drops those
// that are too old to extend it.
func (l *lease) redeem() {
	old := l.now().Add(-leaseTime)
	kept := l.promises[:0]
	for _, p := range l.promises {
		switch {
		case p.head.Compare(l.applied) <= 0:
			if t := p.sent.Add(leaseTime); t.After(*l.until.Load()) {
				l.until.Store(&t)
			}
		case p.sent.After(old):
			kept = append(kept, p)
		}
	}
	l.promises = kept
}

// held reports whether heads may be trusted at this moment.
func (l *lease) held() bool { return l.remaining() > 0 }

// heldAt is held, for those who have just looked at the clock.
func (l *lease) heldAt(now time.Time) bool { return l.until.Load().After(now) }

// remaining is how long the lease still lasts; not positive when it is over.
func (l *lease) remaining() time.Duration { return l.until.Load().Sub(l.now()) }

func (l *lease) seq() metadata.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.applied
}

// wait returns true as soon as the feed is applied up to s, or false after d,
// or when ctx ends.
func (l *lease) wait(ctx context.Context, s metadata.Seq, d time.Duration) bool {
	var timer *time.Timer
	for {
		l.mu.Lock()
		applied, changed := l.applied, l.changed
		l.mu.Unlock()
		if s.Compare(applied) <= 0 {
			return true
		}
		if timer == nil {
			timer = time.NewTimer(d)
			defer timer.Stop()
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}
