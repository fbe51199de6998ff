package memory

import (
	"slices"
	"sync"
	"sync/atomic"
)

const (
	// batchSize is how many changes the keeper hands to Ristretto before it
	// waits for them to be applied: well below Ristretto's own queue of 32 Ki.
	batchSize = 256
	// maxQueued is how many changes may wait for the keeper before writers
	// wait, too.
	maxQueued = 4096
)

// keeper hands values to Ristretto and takes them back.
type keeper struct {
	tier *Tier
	// held are evicted bytes that Ristretto, or its queue, may still hold, and
	// maxHeld how many of them there may be before writers wait.
	held    atomic.Int64
	maxHeld int64

	mu      sync.Mutex
	changes []change
	queued  atomic.Int64 // len(changes)

	applying sync.Mutex // held while changes are applied, in their order
	closed   bool       // guarded by applying
	spare    []change   // guarded by applying

	wake chan struct{}
	quit chan struct{}
	done chan struct{}
}

type change struct {
	entry *entry
	drop  bool
}

func (k *keeper) start(t *Tier, maxHeld int64) {
	k.tier, k.maxHeld = t, maxHeld
	k.wake, k.quit, k.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go k.run()
}

func (k *keeper) run() {
	defer close(k.done)
	for {
		select {
		case <-k.wake:
			k.apply()
		case <-k.quit:
			return
		}
	}
}

// stop ends the keeper. Ristretto is not touched afterwards.
func (k *keeper) stop() {
	close(k.quit)
	<-k.done
	k.applying.Lock()
	k.closed = true
	k.applying.Unlock()
}

// keep has the bytes of a new entry given to Ristretto.
func (k *keeper) keep(e *entry) { k.add(change{entry: e}) }

// drop has the bytes of an entry taken from Ristretto, once.
func (k *keeper) drop(e *entry) {
	k.held.Add(e.Size)
	k.add(change{entry: e, drop: true})
}

func (k *keeper) add(c change) {
	k.mu.Lock()
	k.changes = append(k.changes, c)
	k.queued.Store(int64(len(k.changes)))
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default: // awake already
	}
}

// relieve makes a writer do the keeper's work where the keeper falls behind.
func (k *keeper) relieve() {
	if k.held.Load() > k.maxHeld || k.queued.Load() > maxQueued {
		k.apply()
	}
}

// apply hands on all changes there are.
func (k *keeper) apply() {
	k.applying.Lock()
	defer k.applying.Unlock()
	for !k.closed {
		k.mu.Lock()
		changes := k.changes
		k.changes = k.spare
		k.queued.Store(0)
		k.mu.Unlock()
		for batch := range slices.Chunk(changes, batchSize) {
			k.applyBatch(batch)
		}
		clear(changes)
		k.spare = changes[:0]
		if cap(changes) > maxQueued*4 {
			k.spare = nil // of a burst
		}
		if len(changes) == 0 {
			return
		}
	}
}

func (k *keeper) applyBatch(batch []change) {
	store := k.tier.store
	var freed int64
	for _, c := range batch {
		e := c.entry
		if c.drop {
			e.dropped = true
			if e.stored {
				store.Del(e.id)
			}
			e.pending.Store(nil)
			freed += e.Size
			continue
		}
		b := e.pending.Load()
		if e.stored = store.Set(e.id, b, e.Size); !e.stored {
			// Ristretto's queue is full, which waiting cures.
			store.Wait()
			e.stored = store.Set(e.id, b, e.Size)
		}
	}
	store.Wait()
	k.held.Add(-freed)
	for _, c := range batch {
		k.settle(c)
	}
}

// settle looks whether Ristretto holds what it was given, and lets go of it
// here. What it does not hold leaves the index.
func (k *keeper) settle(c change) {
	e := c.entry
	if c.drop || e.dropped {
		return
	}
	t := k.tier
	if _, ok := t.store.Get(e.id); ok {
		e.pending.Store(nil)
		return
	}
	class := &t.classes[e.key.Class]
	t.unlink(class, e)
	if class.policy.Remove(&e.Entry) {
		t.tell(e)
		class.evictions.Add(1)
		class.evictedBytes.Add(e.Size)
		k.drop(e)
	}
}
