package origin

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"
)

const (
	// tripAfter failures in a row make a region the last to be asked.
	tripAfter = 2
	// It is tried again after a pause, which doubles from the first to the
	// longest while it fails.
	firstPause   = time.Second
	longestPause = 15 * time.Second
)

// health remembers of which regions reading failed of late, the own one among
// them, so that not every read waits for the same dead store.
type health struct {
	mu    sync.Mutex
	sick  map[string]sickness
	clock func() time.Time
}

type sickness struct {
	failures int
	pause    time.Duration
	retry    time.Time
}

// well reports whether a region is to be asked in its turn. After a pause one
// of those who would ask it first is told so, and tries for all.
func (h *health) well(region string, first bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.sick[region]
	if !ok || s.failures < tripAfter {
		return true
	}
	now := h.clock()
	if !first || now.Before(s.retry) {
		return false
	}
	s.retry = now.Add(s.pause)
	h.sick[region] = s
	return true
}

// report tells how reading went. A blob that is missing, or a reader that left,
// says nothing of the region.
func (h *health) report(region string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, fs.ErrNotExist):
		return
	case err == nil:
		delete(h.sick, region)
		return
	}
	s := h.sick[region]
	if s.failures++; s.failures >= tripAfter {
		s.pause = min(max(2*s.pause, firstPause), longestPause)
		s.retry = h.clock().Add(s.pause)
	}
	h.sick[region] = s
}
