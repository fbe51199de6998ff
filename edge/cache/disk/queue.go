package disk

import (
	"sync"
)

const (
	// maxPending is how many bytes may wait to be written before Puts are
	// declined, and maxWaiting how many values.
	maxPending = 32 << 20
	maxWaiting = 8192
)

// queue is what the writer has to do.
type queue struct {
	wake chan struct{}

	mu      sync.Mutex
	writes  []*entry // in the order of their Puts
	doomed  []*entry // whose files have to go
	pending int64    // bytes of values that wait
}

// hasRoom reports whether a value of n bytes may wait, too.
func (q *queue) hasRoom(n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	// What is larger than all that may wait is written when nothing else does.
	return len(q.writes) < maxWaiting && (q.pending+n <= maxPending || q.pending == 0)
}

// await gives e, under the mu of its shard, a value that waits to be written.
func (q *queue) await(e *entry, p *pending) {
	e.pending = p
	q.mu.Lock()
	q.pending += int64(len(p.value))
	q.mu.Unlock()
}

// release takes it away again, under the same mu.
func (q *queue) release(e *entry) {
	if e.pending == nil {
		return
	}
	q.mu.Lock()
	q.pending -= int64(len(e.pending.value))
	q.mu.Unlock()
	e.pending = nil
}

// write asks for the value of e to be written, if it still waits by then.
func (q *queue) write(e *entry) {
	q.mu.Lock()
	q.writes = append(q.writes, e)
	q.mu.Unlock()
	q.rouse()
}

// doom asks for the file of e to be removed, before anything is written that
// write asks for later.
func (q *queue) doom(e *entry) {
	q.mu.Lock()
	q.doomed = append(q.doomed, e)
	q.mu.Unlock()
	q.rouse()
}

func (q *queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default: // awake already
	}
}

// condemned returns those whose files have to go.
func (q *queue) condemned() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.doomed
	q.doomed = nil
	return list
}

// next returns what has to be written next, or nil, and what has to be removed
// before.
func (q *queue) next() (e *entry, condemned []*entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	condemned, q.doomed = q.doomed, nil
	if len(q.writes) == 0 {
		q.writes = nil
		return nil, condemned
	}
	e = q.writes[0]
	q.writes[0] = nil
	q.writes = q.writes[1:]
	return e, condemned
}
