package fetch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"meridian/metadata"
)

// patience is how long callers that may not join the running fill wait for it
// to end before the next one starts beside it.
const patience = 100 * time.Millisecond

// ErrClosed is what callers of a closed Collapse get.
var ErrClosed = errors.New("node is stopping")

// PanicError is a panic of a fill, which every caller that waited for it gets.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a fill: %v", e.Value) }

// Terms say what a caller wants of a fill.
type Terms struct {
	// AsOf is the Seq that a fill which this caller starts will include.
	AsOf metadata.Seq
	// Need is the Seq that a fill must include for this caller to join it.
	Need metadata.Seq
	// Fresh allows joining only a fill that begins after the call.
	Fresh bool
}

// Collapse makes one fill of the calls that want the same thing at the same
// time. A fill runs under a context of its own, which keeps the values of its
// first caller's but not its end: it ends with the deadline, when the last
// caller has left, or with Close. A panic becomes an error for all who wait.
//
// For each key at most one running fill can be joined. Callers whose terms it
// does not meet wait together for the next, which starts when that one ends, is
// forgotten, or has kept them waiting for long: so even callers who each insist
// on a fresh answer cause no more than a few requests at a time.
type Collapse[T any] struct {
	timeout time.Duration

	mu     sync.Mutex
	closed bool
	slots  map[string]*slot[T]
	all    map[*flight[T]]struct{} // those that run, joinable or not
	wg     sync.WaitGroup
}

type slot[T any] struct{ running, next *flight[T] }

type flight[T any] struct {
	key  string
	fn   func(ctx context.Context, asOf metadata.Seq) (T, error)
	asOf metadata.Seq // fixed once it runs

	begin   func() (context.Context, context.CancelFunc)
	cancel  context.CancelFunc // once it runs
	timer   *time.Timer        // of one that waits its turn
	waiters int                // guarded by Collapse.mu

	done chan struct{} // closed when val and err are set
	val  T
	err  error
}

// NewCollapse returns a Collapse whose fills may take up to timeout.
func NewCollapse[T any](timeout time.Duration) *Collapse[T] {
	return &Collapse[T]{timeout: timeout, slots: map[string]*slot[T]{}, all: map[*flight[T]]struct{}{}}
}

// Do returns what fn returns, called by this or another caller with the key.
// fn gets the Seq that its answer must include. led says whether this caller's
// fn ran. When ctx ends, Do returns its cause at once.
func (c *Collapse[T]) Do(ctx context.Context, key string, t Terms, fn func(ctx context.Context, asOf metadata.Seq) (T, error)) (v T, led bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return v, false, ErrClosed
	}
	f := c.join(key, t)
	if f == nil {
		f, led = c.open(ctx, key, t, fn), true
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
		return f.val, led, f.err
	case <-ctx.Done():
	}
	c.leave(f)
	return v, led, context.Cause(ctx)
}

// Go starts a fill that nobody waits for, unless one that meets the terms is
// running already. It reports whether it did.
func (c *Collapse[T]) Go(ctx context.Context, key string, t Terms, fn func(ctx context.Context, asOf metadata.Seq) (T, error)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.join(key, t) != nil {
		return false
	}
	c.open(ctx, key, t, fn).waiters++ // never leaves
	return true
}

// Forget lets nobody join the running fill of key any more. Those who wait for
// it still get its answer.
func (c *Collapse[T]) Forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.slots[key]; s != nil && s.running != nil {
		s.running = nil
		c.promote(key, s)
	}
}

// Close ends all fills and returns when none runs any more.
func (c *Collapse[T]) Close() {
	c.mu.Lock()
	c.closed = true
	for _, s := range c.slots {
		if s.next != nil {
			s.next.timer.Stop()
			s.next.err = ErrClosed
			close(s.next.done)
			s.next = nil
		}
	}
	for f := range c.all {
		f.cancel()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// join returns the fill that a caller with these terms may wait for.
func (c *Collapse[T]) join(key string, t Terms) *flight[T] {
	s := c.slots[key]
	if s == nil {
		return nil
	}
	if s.running != nil && !t.Fresh && s.running.asOf.Compare(t.Need) >= 0 {
		return s.running
	}
	if s.next != nil && t.AsOf.Compare(s.next.asOf) > 0 {
		s.next.asOf = t.AsOf // it has not asked yet
	}
	return s.next
}

// open makes the fill that the caller leads, and starts it unless another runs.
func (c *Collapse[T]) open(ctx context.Context, key string, t Terms, fn func(context.Context, metadata.Seq) (T, error)) *flight[T] {
	s := c.slots[key]
	if s == nil {
		s = &slot[T]{}
		c.slots[key] = s
	}
	f := &flight[T]{key: key, fn: fn, asOf: t.AsOf, done: make(chan struct{})}
	f.begin = func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	}
	if s.running == nil {
		s.running = f
		c.start(f) //nolint:contextcheck // a fill has a context of its own
		return f
	}
	s.next = f
	f.timer = time.AfterFunc(patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.slots[key] == s && s.next == f && !c.closed {
			c.promote(key, s)
		}
	})
	return f
}

// promote starts the next fill of a slot, if one waits, and lets go of an empty
// slot.
func (c *Collapse[T]) promote(key string, s *slot[T]) {
	s.running, s.next = s.next, nil
	if s.running == nil {
		delete(c.slots, key)
		return
	}
	s.running.timer.Stop()
	c.start(s.running)
}

func (c *Collapse[T]) start(f *flight[T]) {
	var ctx context.Context
	ctx, f.cancel = f.begin()
	c.all[f] = struct{}{}
	c.wg.Go(func() { c.run(ctx, f) })
}

func (c *Collapse[T]) run(ctx context.Context, f *flight[T]) {
	returned := false
	defer func() {
		// Also after runtime.Goexit, which a fill has no business to call.
		if !returned {
			f.err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		f.cancel()
		c.mu.Lock()
		delete(c.all, f)
		c.detach(f)
		c.mu.Unlock()
		close(f.done)
	}()
	f.val, f.err = f.fn(ctx, f.asOf)
	returned = true
}

// detach takes f out of its slot, so that nobody joins it, and starts the next.
func (c *Collapse[T]) detach(f *flight[T]) {
	s := c.slots[f.key]
	switch {
	case s == nil:
	case s.running == f && c.closed:
		delete(c.slots, f.key)
	case s.running == f:
		s.running = nil
		c.promote(f.key, s)
	case s.next == f:
		f.timer.Stop()
		s.next = nil
	}
}

// leave ends a fill that nobody waits for any more.
func (c *Collapse[T]) leave(f *flight[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	select {
	case <-f.done:
		return
	default:
	}
	c.detach(f)
	if f.cancel != nil {
		f.cancel()
	}
}
