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
	// Turn, where it is not nil, is called before a fill that this caller starts
	// asks anybody, and may wait; see Turns.Take.
	Turn func(ctx context.Context) (done func(well bool), err error)
}

// How many fills may run that nobody waits for any more, and for how long: enough
// that clients who leave do not make the origin be asked again for those who stay,
// and no more than that clients who do nothing but leave have little done for them.
const (
	maxOrphans = 64
	orphanTime = 5 * time.Second
)

// Collapse makes one fill of the calls that want the same thing at the same
// time. A fill runs under a context of its own, which keeps the values of its
// first caller's but not its end: it ends with the deadline or with Close. When the
// last caller has left, one that waits for its turn is not begun, while one that has
// begun is finished, within maxOrphans and orphanTime: what it asked for is on its way,
// and whoever wants it next would ask again. A panic becomes an error for all who wait.
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
	// orphans is how many of them have begun, and nobody waits for.
	orphans int
	wg      sync.WaitGroup
}

type slot[T any] struct{ running, next *flight[T] }

type flight[T any] struct {
	key  string
	fn   func(ctx context.Context, asOf metadata.Seq) (T, error)
	asOf metadata.Seq // fixed once it runs

	turn   func(ctx context.Context) (done func(well bool), err error)
	begin  func() (context.Context, context.CancelFunc)
	cancel context.CancelFunc // once it runs
	timer  *time.Timer        // of one that is next
	// Guarded by Collapse.mu:
	waiters int
	begun   bool        // it may have asked
	orphan  *time.Timer // ends one that has begun, and that nobody waits for

	done chan struct{} // closed when val and err are set
	val  T
	err  error
}

// NewCollapse returns a Collapse whose fills may take up to timeout, once it is
// their turn.
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
	c.wait(f)
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
	c.wait(c.open(ctx, key, t, fn)) // never leaves
	return true
}

// wait notes that one more waits for f.
func (c *Collapse[T]) wait(f *flight[T]) {
	f.waiters++
	c.adopt(f)
}

// adopt counts f as an orphan no longer.
func (c *Collapse[T]) adopt(f *flight[T]) {
	if f.orphan != nil {
		f.orphan.Stop()
		f.orphan = nil
		c.orphans--
	}
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
	f := &flight[T]{key: key, fn: fn, asOf: t.AsOf, turn: t.Turn, done: make(chan struct{})}
	f.begin = func() (context.Context, context.CancelFunc) {
		return context.WithCancel(context.WithoutCancel(ctx))
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
		f.begun = false // and over: nothing is left to be finished
		c.adopt(f)
		c.detach(f)
		c.mu.Unlock()
		close(f.done)
	}()
	f.val, f.err = c.fill(ctx, f)
	returned = true
}

// fill calls fn when it is its turn, if anybody waits for it then.
func (c *Collapse[T]) fill(ctx context.Context, f *flight[T]) (v T, err error) {
	well := false
	if f.turn != nil {
		done, err := f.turn(ctx)
		if err != nil {
			return v, err
		}
		defer func() { done(well) }()
	}
	c.mu.Lock()
	f.begun = f.waiters > 0
	c.mu.Unlock()
	if !f.begun {
		return v, context.Canceled
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	v, err = f.fn(ctx, f.asOf)
	well = err == nil
	return v, err
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

// leave lets go of a fill. When nobody waits for it any more it is finished, or
// ended.
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
	if f.begun && !c.closed && c.orphans < maxOrphans {
		c.abandon(f)
		return
	}
	c.detach(f)
	if f.cancel != nil {
		f.cancel()
	}
}

// abandon gives a fill that nobody waits for some time to end.
func (c *Collapse[T]) abandon(f *flight[T]) {
	c.orphans++
	var over *time.Timer
	over = time.AfterFunc(orphanTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if f.orphan == over { // and not joined since, or ended
			c.adopt(f)
			c.detach(f)
			f.cancel()
		}
	})
	f.orphan = over
}
