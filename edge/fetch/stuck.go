package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"meridian/edge/cache"
)

// stuckTime is how long the slice that a node was late with speaks against it,
// whatever else it answers.
const stuckTime = 30 * time.Second

// stuck knows the nodes that are late with slices. One whose disk hangs, say, goes
// on to answer what it has in memory: were each such answer a sign of health, it
// would stay in, and every slice wait for its hedge, until the budget is spent.
type stuck struct {
	mu    sync.Mutex
	since map[string]time.Time // of the last such slice, by node
}

// judge is what the balancer is told of an attempt that ended with report.
func (s *stuck) judge(node string, now time.Time, r Request, resp *Response, report error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, late := s.since[node]
	switch {
	case report == nil && (r.Want != "" && r.Length > 0 || len(resp.Body) == cache.SliceSize):
		delete(s.since, node)
	case report == nil && late && now.Sub(last) < stuckTime:
		return context.Canceled // tells nothing
	case r.Want != "" && r.Length > 0 && (isLate(report) || errors.Is(report, errOvertaken)):
		if s.since == nil {
			s.since = map[string]time.Time{}
		}
		s.since[node] = now
	}
	return report
}
