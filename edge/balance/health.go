package balance

import (
	"sync"
	"time"
)

const (
	// tripAfter failures in a row take a node out.
	tripAfter = 3
	// A node that is out gets one trial request after each pause, which
	// doubles from the first to the longest.
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
	// forgetAfter is how long after a trial was due a failure speaks for itself.
	forgetAfter = 20 * time.Second
)

// health is a circuit breaker: closed while requests succeed, open after
// tripAfter failures in a row, and tried with one request per pause while open.
type health struct {
	mu       sync.Mutex
	failures int
	pause    time.Duration
	retry    time.Time // when open: the next trial
	trial    bool      // when open: one was let through and not yet reported
}

// admit reports whether the node may be asked. While the breaker is open it
// does so once per pause; claiming the trial moves the next one away at once,
// so that a trial whose report never comes blocks nothing.
func (h *health) admit(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures < tripAfter {
		return true
	}
	if now.Before(h.retry) {
		return false
	}
	h.retry, h.trial = now.Add(h.pause), true
	return true
}

// failing reports whether the node is out and was tried of late: of one that
// nobody has asked since, nothing is known.
func (h *health) failing(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures >= tripAfter && now.Sub(h.retry) < forgetAfter
}

func (h *health) report(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		h.failures, h.pause, h.trial = 0, 0, false
		return
	}
	h.failures++
	switch {
	case h.failures < tripAfter:
		return
	case h.failures == tripAfter:
		h.pause = firstPause
	case !h.trial:
		return // an attempt from before it opened: tells nothing new
	default:
		h.trial = false
		h.pause = min(2*h.pause, longestPause)
	}
	h.retry = now.Add(h.pause)
}
