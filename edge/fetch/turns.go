package fetch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

// errStuck says that a fill waited for its turn, and none of those before it got
// what it had asked for.
var errStuck = errors.New("those before it in the queue get no answer")

// Turns bound how many fills of the same queue ask upstream at a time. The others
// wait for theirs, first come, first served, for as long as the queue moves: an
// upstream that is asked for everything at once answers nothing in time. Queues are
// apart: one that is slow holds up no other.
type Turns struct {
	most     int
	patience time.Duration
	waited   func(took time.Duration, err error)

	mu     sync.Mutex
	queues map[string]*queue // of those that somebody is in
}

type queue struct {
	taken   int
	waiting list.List // of chan struct{}, each closed when its turn has come
	moved   time.Time // when a turn ended well
}

// NewTurns returns Turns of which most may be taken at a time, in each queue. Who
// waits gives up when for all of patience no turn has ended well. waited is told of
// all who had to wait: for how long, and with which error where their turn did not
// come.
func NewTurns(most int, patience time.Duration, waited func(took time.Duration, err error)) *Turns {
	return &Turns{most: most, patience: patience, waited: waited, queues: map[string]*queue{}}
}

// Load is how many turns of a queue are taken, and how many wait for theirs.
func (t *Turns) Load(name string) (taken, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q := t.queues[name]; q != nil {
		return q.taken, q.waiting.Len()
	}
	return 0, 0
}

// Total is Load of all queues together.
func (t *Turns) Total() (taken, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range t.queues {
		taken, waiting = taken+q.taken, waiting+q.waiting.Len()
	}
	return taken, waiting
}

// Take waits for a turn in a queue. The caller ends it by calling done once, and
// says whether it got what it asked for. Take fails with the cause of the end of
// ctx, or with a timeout.
func (t *Turns) Take(ctx context.Context, name string) (done func(well bool), err error) {
	q, place := t.enter(name)
	if place != nil {
		began := time.Now()
		err := t.wait(ctx, q, place)
		if t.waited(time.Since(began), err); err != nil {
			return nil, err
		}
	}
	return func(well bool) { t.leave(name, q, well) }, nil
}

// enter takes a turn or, where it returns a place, is to wait for that to be
// closed.
func (t *Turns) enter(name string) (q *queue, place *list.Element) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q = t.queues[name]; q == nil {
		q = &queue{}
		t.queues[name] = q
	}
	if q.taken < t.most {
		q.taken++
		return q, nil
	}
	return q, q.waiting.PushBack(make(chan struct{}))
}

func (t *Turns) wait(ctx context.Context, q *queue, place *list.Element) error {
	came := place.Value.(chan struct{})
	began := time.Now()
	stuck := time.NewTimer(t.patience)
	defer stuck.Stop()
	for {
		err := errStuck
		select {
		case <-came:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-stuck.C:
			if left := t.patience - time.Since(t.movedAfter(q, began)); left > 0 {
				stuck.Reset(left)
				continue
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		select {
		case <-came:
			return nil // just now
		default:
			q.waiting.Remove(place)
			return err
		}
	}
}

// movedAfter is when the queue moved last, but not before began.
func (t *Turns) movedAfter(q *queue, began time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.moved.After(began) {
		return q.moved
	}
	return began
}

// leave hands a turn on to who waits longest.
func (t *Turns) leave(name string, q *queue, well bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if well {
		q.moved = time.Now()
	}
	if next := q.waiting.Front(); next != nil {
		q.waiting.Remove(next)
		close(next.Value.(chan struct{}))
		return
	}
	if q.taken--; q.taken == 0 {
		delete(t.queues, name)
	}
}
