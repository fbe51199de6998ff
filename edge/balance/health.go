package balance

import (
	"sync"
	"time"
)

const (
	// tripAfter failures in a row take a node out, unless a pool says otherwise.
	tripAfter = 3
	// A node that is out gets one trial request after each pause, which
	// doubles from the first to the longest.
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
	// forgetAfter is how long after a trial was due a failure speaks for itself.
	forgetAfter = 20 * time.Second
	// silentAfter is how long the last request speaks for a node that is well.
	silentAfter = 10 * time.Second
)

// health is a circuit breaker: closed while requests succeed, open after
// trip failures in a row, and tried with one request per pause while open.
type health struct {
	trip     int // never changes
	mu       sync.Mutex
	heard    time.Time // of the last report or probe
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
	if h.failures < h.trip {
		return true
	}
	if now.Before(h.retry) {
		return false
	}
	h.retry, h.trial = now.Add(h.pause), true
	return true
}

// closed reports whether the node is in, whatever the time.
func (h *health) closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures < h.trip
}

// out reports whether admit would say no, and claims nothing.
func (h *health) out(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures >= h.trip && now.Before(h.retry)
}

// failing reports whether the node is out and was tried of late: of one that
// nobody has asked since, nothing is known.
func (h *health) failing(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures >= h.trip && now.Sub(h.retry) < forgetAfter
}

func (h *health) report(now time.Time, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = now
	if ok {
		h.failures, h.pause, h.trial = 0, 0, false
		return
	}
	h.failures++
	switch {
	case h.failures < h.trip:
		return
	case h.failures == h.trip:
		h.pause = firstPause
	case !h.trial:
		return // an attempt from before it opened: tells nothing new
	default:
		h.trial = false
		h.pause = min(2*h.pause, longestPause)
	}
	h.retry = now.Add(h.pause)
}

// unknown reports whether a probe would tell something: the node is failing, or
// nobody has asked it of late.
func (h *health) unknown(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures > 0 || now.Sub(h.heard) >= silentAfter
}

// probed takes what a probe showed. One that failed is a failure like any other,
// and spares requests the trial of a node that is out. One that succeeded shows
// less than a request does: it only lets the next trial come at once.
func (h *health) probed(now time.Time, ok bool) {
	if !ok {
		h.mu.Lock()
		h.trial = h.failures >= h.trip
		h.mu.Unlock()
		h.report(now, false)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = now
	if h.failures >= h.trip && now.Before(h.retry) {
		h.retry = now
	}
}
