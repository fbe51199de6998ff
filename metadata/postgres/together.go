package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// togetherMost bounds how many share a trip to the database.
	togetherMost = 64
	// togetherPatience is how long one waits for the end of a trip that began
	// before it came. Where the database is near, few take longer; where it is
	// far, or a trip is stuck, nobody waits for the others.
	togetherPatience = 2 * time.Millisecond
	// togetherTimeout bounds a trip for several callers, who have deadlines of
	// their own.
	togetherTimeout = 15 * time.Second
)

// errAlone says that nothing was done, and that each is to be done by itself.
var errAlone = errors.New("not done together with others")

// together has callers who come while a trip to the database is under way share
// the next one. Who comes first does not wait.
type together[T any] struct {
	send func([]T) error // makes a trip; its error is told to all

	mu       sync.Mutex
	inFlight int // trips
	closed   bool
	landed   chan struct{} // closed when none is left; nil where nobody waits for that
	waiting  []*seat[T]
	late     *time.Timer // for the first of those waiting
}

// seat is what one caller asks for.
type seat[T any] struct {
	what T
	done chan struct{} // closed when err is set
	err  error
}

// do has what done: by alone where no trip is under way, and where one was made in
// vain (errAlone), and otherwise by a trip with others. Where ctx ends first, what
// may still be used.
func (t *together[T]) do(ctx context.Context, what T, alone func() error) error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return alone()
	}
	if t.inFlight == 0 {
		t.inFlight++
		t.mu.Unlock()
		defer t.proceed()
		return alone()
	}
	s := &seat[T]{what: what, done: make(chan struct{})}
	t.waiting = append(t.waiting, s)
	if len(t.waiting) == 1 {
		t.wake()
	}
	t.mu.Unlock()
	select {
	case <-s.done:
		if errors.Is(s.err, errAlone) {
			return alone()
		}
		return s.err
	case <-ctx.Done():
		t.mu.Lock()
		t.waiting = slices.DeleteFunc(t.waiting, func(x *seat[T]) bool { return x == s })
		t.mu.Unlock()
		return ctx.Err()
	}
}

// close returns when no trip is under way. Who comes from now on goes alone, and is
// not waited for.
func (t *together[T]) close() {
	t.mu.Lock()
	t.closed = true
	if t.inFlight > 0 && t.landed == nil {
		t.landed = make(chan struct{})
	}
	landed := t.landed
	t.mu.Unlock()
	if landed != nil {
		<-landed
	}
}

// wake starts another trip unless one that is under way ends in time. t.mu is
// held.
func (t *together[T]) wake() {
	t.late = time.AfterFunc(togetherPatience, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.waiting) > 0 {
			t.start()
		}
	})
}

// start begins another trip for those waiting. t.mu is held.
func (t *together[T]) start() {
	t.inFlight++
	t.travel(t.take())
}

// proceed goes on with those who came while a caller was alone.
func (t *together[T]) proceed() {
	if list := t.next(); len(list) > 0 {
		t.travel(list)
	}
}

// travel makes trips until nobody waits.
func (t *together[T]) travel(list []*seat[T]) {
	go func() {
		for len(list) > 0 {
			all := make([]T, len(list))
			for i, s := range list {
				all[i] = s.what
			}
			err := t.send(all)
			for _, s := range list {
				s.err = err
				close(s.done)
			}
			list = t.next()
		}
	}()
}

// next are those who go after a trip that has ended; nobody where another one is
// under way, for whose end they may wait.
func (t *together[T]) next() []*seat[T] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 || t.inFlight > 1 {
		if t.inFlight--; t.inFlight == 0 && t.landed != nil {
			close(t.landed)
			t.landed = nil
		}
		return nil
	}
	return t.take()
}

// take takes the first of those waiting. t.mu is held.
func (t *together[T]) take() []*seat[T] {
	if t.late != nil {
		t.late.Stop()
	}
	n := min(len(t.waiting), togetherMost)
	list := t.waiting[:n:n]
	t.waiting = t.waiting[n:]
	if len(t.waiting) > 0 {
		t.wake()
	}
	return list
}
