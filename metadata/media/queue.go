package media

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// queueLimit bounds the jobs in memory. The catalogue is the queue that holds
// them all: what does not fit is found again by its record's state.
const queueLimit = 10_000

// job is one file to be looked at.
type job struct {
	object
	id      string // of the record
	version string
	tries   int
	due     time.Time
}

// jobKey makes a job unique in the queue.
type jobKey struct{ id, version string }

func (j *job) jobKey() jobKey { return jobKey{j.id, j.version} }

// jobState is where a known job is.
type jobState int

const (
	queued jobState = iota
	taken
	// wanted again while it was taken: whoever has it may have looked at the
	// record before it became what it is now.
	wanted
)

// queue holds jobs that are ready, in order, and jobs that wait for their time.
// A job is known from push until done.
type queue struct {
	limit int
	// empty is signalled when all is done and jobs have been refused before.
	empty chan struct{}

	mu    sync.Mutex
	ready []job
	later laterHeap
	known map[jobKey]jobState
	lost  bool
	wake  chan struct{}
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, empty: make(chan struct{}, 1), wake: make(chan struct{}, 1), known: map[jobKey]jobState{}}
}

// push adds a job that is not known yet, and reports whether there was room.
func (q *queue) push(j job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if state, ok := q.known[j.jobKey()]; ok {
		if state == taken {
			q.known[j.jobKey()] = wanted
		}
		return true
	}
	if len(q.known) >= q.limit {
		q.lost = true
		return false
	}
	q.known[j.jobKey()] = queued
	q.ready = append(q.ready, j)
	signal(q.wake)
	return true
}

// next waits for a job.
func (q *queue) next(ctx context.Context) (job, error) {
	for {
		j, wait, ok := q.pop(time.Now())
		if ok {
			return j, ctx.Err()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return job{}, ctx.Err()
		case <-q.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// pop takes the first job that is ready, or tells how long to wait for one.
func (q *queue) pop(now time.Time) (j job, wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.later) > 0 && !q.later[0].due.After(now) {
		q.ready = append(q.ready, heap.Pop(&q.later).(job)) //nolint:forcetypeassert // laterHeap holds jobs
	}
	if len(q.ready) == 0 {
		wait = time.Hour
		if len(q.later) > 0 {
			wait = q.later[0].due.Sub(now)
		}
		return job{}, wait, false
	}
	j, q.ready = q.ready[0], q.ready[1:]
	q.known[j.jobKey()] = taken
	if len(q.ready) > 0 {
		signal(q.wake) // for the next waiter
	}
	return j, 0, true
}

// again puts a job that was taken back, to be ready after a pause.
func (q *queue) again(j job, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	j.due = time.Now().Add(pause)
	q.known[j.jobKey()] = queued
	heap.Push(&q.later, j)
	signal(q.wake)
}

// done forgets a job that was taken, unless it was pushed meanwhile.
func (q *queue) done(j job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known[j.jobKey()] == wanted {
		q.known[j.jobKey()] = queued
		j.tries = 0
		q.ready = append(q.ready, j)
		signal(q.wake)
		return
	}
	delete(q.known, j.jobKey())
	// Jobs that cannot be done now must not keep others out for ever.
	if q.lost && len(q.known) <= q.limit/2 {
		q.lost = false
		signal(q.empty)
	}
}

// signal leaves a token, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// laterHeap orders jobs by the time they are due.
type laterHeap []job

func (h laterHeap) Len() int           { return len(h) }
func (h laterHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laterHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *laterHeap) Push(x any)        { *h = append(*h, x.(job)) } //nolint:forcetypeassert // only jobs come
func (h *laterHeap) Pop() any {
	old := *h
	j := old[len(old)-1]
	*h = old[:len(old)-1]
	return j
}
