// Package disk is the disk tier: each value is a file, and the name of a file
// tells all that the index needs. So a restart lists directories and reads no
// file: a second for hundreds of thousands of values.
//
//	<dir>/meridian-cache.lock       held by the process that has it open
//	<dir>/meridian-cache.hits       how often values were asked for, now and then
//	<dir>/<xx>/<c><id>-<seq>-<len>  a value, in one of 256 directories
//	<dir>/tmp/put-<seq>             a value that is being written
//
// The index is in memory, about 200 bytes an entry (see TestMemoryOfAnEntry). A
// hit opens and reads one file.
//
// Put leaves the value to a writer and returns: whoever puts never waits for the
// disk. Values that wait are served from memory; when too many bytes of them do,
// Puts are declined. Files are written under another name and renamed, and carry
// a checksum, so that neither a crash nor a bad sector shows half a value: what
// is damaged is a miss, and is removed. Nothing is synced.
//
// Delete removes the file before it returns, and those of earlier values and
// evicted ones that the writer has not come to: a process that is killed does
// not find a deleted value again. A machine that loses power may, as it may find
// the value before one that was Put last. That is harmless for slices, which
// never change; heads of an earlier run of the node are asked for upstream
// before they are served, whatever medium kept them (see edge.Node).
//
// What stays is decided by package policy, one policy and budget per class, by
// what the files cost the file system; the files of what has to go are removed
// before the one is written that needs their room.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"meridian/edge/cache"
	"meridian/edge/cache/policy"
	"meridian/internal/filelock"
)

// Tier is a cache.Tier of files.
type Tier struct {
	cfg     Config
	lock    *os.File
	classes [2]class
	shards  [256]shard
	lastSeq atomic.Uint64
	// admission is held while a Put decides who goes for it.
	admission sync.Mutex
	queue     queue
	complaint complaint
	savedHits int64 // how many there were when they were saved

	close sync.Once
	quit  chan struct{}
	done  chan struct{}
}

var _ cache.Tier = (*Tier)(nil)

// Open returns the Tier of a directory, with what it held when it was closed or
// its process died. The caller closes it. ErrInUse if another process has it
// open.
func Open(cfg Config) (*Tier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.applyDefaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("disk cache: %w", err)
	}
	cfg.Dir = dir
	t := &Tier{
		cfg: cfg, queue: queue{wake: make(chan struct{}, 1)},
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	for i, budget := range []int64{cache.Head: cfg.HeadBytes, cache.Slice: cfg.SliceBytes} {
		t.classes[i].budget, t.classes[i].policy = budget, policy.New(budget)
	}
	if t.lock, err = claim(dir); err != nil {
		return nil, err
	}
	if err := t.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("disk cache: %w", err), filelock.Release(t.lock))
	}
	go t.run()
	return t, nil
}

func (t *Tier) class(k cache.Key) *class {
	if int(k.Class) >= len(t.classes) {
		return nil
	}
	return &t.classes[k.Class]
}

func (t *Tier) shard(i id) *shard { return &t.shards[i[0]] }

// Get implements cache.Tier. What cannot be read because the process lacks
// something, file descriptors say, is an error; what is damaged is a miss.
func (t *Tier) Get(_ context.Context, k cache.Key) ([]byte, error) {
	c := t.class(k)
	if c == nil {
		return nil, cache.ErrMiss
	}
	i := idOf(k)
	s := t.shard(i)
	s.mu.RLock()
	e := s.entries[i]
	var waits *pending
	if e != nil {
		waits = e.pending
	}
	s.mu.RUnlock()
	if e == nil {
		s.misses.Add(1)
		return nil, cache.ErrMiss
	}
	v, err := t.read(e, waits, k.Name)
	if err != nil {
		s.misses.Add(1)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) && !errors.Is(err, syscall.EIO) && !short(err) {
			return nil, fmt.Errorf("disk cache: %w", err)
		}
		// Unless it was evicted a moment ago, and is gone by right.
		if t.drop(e) {
			t.complain("value is damaged", t.path(&e.stored), err)
		}
		return nil, cache.ErrMiss
	}
	s.hits.Add(1)
	c.policy.Touch(&e.Entry)
	return v, nil
}

func (t *Tier) read(e *entry, waits *pending, name string) ([]byte, error) {
	switch {
	case waits == nil:
		return readRecord(t.path(&e.stored), &e.stored, name)
	case waits.name != name:
		return nil, errDamaged
	}
	return waits.value, nil
}

// Put implements cache.Tier. A value is declined if its class cannot hold it or
// too much waits to be written, and later if the disk has no room or fails.
func (t *Tier) Put(_ context.Context, k cache.Key, v []byte) error {
	return t.put(k, v, false)
}

// PutAhead implements cache.Advised.
func (t *Tier) PutAhead(_ context.Context, k cache.Key, v []byte) error {
	return t.put(k, v, true)
}

func (t *Tier) put(k cache.Key, v []byte, ahead bool) error {
	c := t.class(k)
	if c == nil {
		return fmt.Errorf("disk cache: %w: class %d", errors.ErrUnsupported, k.Class)
	}
	f := stored{id: idOf(k), class: k.Class, length: int64(len(v)) + int64(len(k.Name)) + footerSize}
	s := t.shard(f.id)
	deleted := s.deleting.Load()
	c.puts.Add(1)

	// In this order a value goes to the queue after all that has to go for it.
	t.admission.Lock()
	defer t.admission.Unlock()
	f.seq = t.lastSeq.Add(1)
	e := newEntry(&f)
	if ahead {
		e.Guest, e.Hits = true, cache.AheadHits
	}
	s.mu.Lock()
	old := s.entries[f.id]
	if old != nil {
		s.leave(old, &t.queue)
	}
	// The last: a Delete in this shard, perhaps of this key, was called after
	// this Put and has come first.
	kept := !s.closed && e.Size <= c.budget && t.queue.hasRoom(int64(len(v))) && s.deleting.Load() == deleted
	if kept {
		s.entries[f.id] = e
		t.queue.await(e, &pending{name: k.Name, value: v})
	}
	s.mu.Unlock()
	if old != nil {
		t.queue.doom(old)
		c.policy.Remove(&old.Entry)
	}
	if !kept {
		c.declined.Add(1)
		return nil
	}
	for _, out := range c.policy.Add(&e.Entry) {
		if out == &e.Entry {
			c.declined.Add(1) // by a Delete that has come since, or as a guest
			t.expel(e)
			continue
		}
		t.evict(out)
	}
	t.queue.write(e)
	return nil
}

// Delete implements cache.Tier. It waits for the disk.
func (t *Tier) Delete(_ context.Context, k cache.Key) error {
	c := t.class(k)
	if c == nil {
		return nil
	}
	i := idOf(k)
	s := t.shard(i)
	s.deleting.Add(1)
	s.files.Lock()
	defer s.files.Unlock()
	s.mu.Lock()
	e := s.entries[i]
	if e != nil {
		s.leave(e, &t.queue)
	}
	list := s.leaving[i]
	delete(s.leaving, i)
	s.mu.Unlock()
	var failed error
	for list != nil {
		out := list
		list = out.older
		if err := t.unlink(out); err != nil {
			failed = errors.Join(failed, err)
			s.mu.Lock()
			s.linger(out) // for another attempt
			s.mu.Unlock()
		}
	}
	if e != nil {
		c.deletes.Add(1)
		c.policy.Remove(&e.Entry)
	}
	if failed != nil {
		return fmt.Errorf("disk cache: a value that was deleted would be back after a restart: %w", failed)
	}
	return nil
}

// Stats implements cache.Tier.
func (t *Tier) Stats() cache.Stats {
	var sum cache.Stats
	for i := range t.classes {
		t.classes[i].addTo(&sum)
	}
	sum.Hits = t.hits()
	for i := range t.shards {
		sum.Misses += t.shards[i].misses.Load()
	}
	return sum
}

func (t *Tier) hits() (sum int64) {
	for i := range t.shards {
		sum += t.shards[i].hits.Load()
	}
	return sum
}

// Close implements cache.Tier. It writes what waits, unless the disk takes too
// long, and gives the directory free. The values stay.
func (t *Tier) Close() error {
	t.close.Do(func() {
		for i := range t.shards {
			s := &t.shards[i]
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
		}
		close(t.quit)
		<-t.done
		t.saveHits()
		for i := range t.shards {
			t.shut(&t.shards[i])
		}
		_ = filelock.Release(t.lock)
	})
	return nil
}

// shut empties the index of a shard. Its files are not touched afterwards: they
// may be another process's.
func (t *Tier) shut(s *shard) {
	s.files.Lock()
	s.mu.Lock()
	gone := s.entries
	s.entries, s.leaving = nil, nil
	s.mu.Unlock()
	s.files.Unlock()
	for _, e := range gone {
		t.classes[e.class].policy.Remove(&e.Entry)
	}
}

// evict takes out what the policy chose.
func (t *Tier) evict(out *policy.Entry) {
	e := out.Owner.(*entry)
	if t.expel(e) {
		t.classes[e.class].evicted(e)
	}
}

// drop takes e out, for whatever reason but the policy's. It reports whether it
// was still there.
func (t *Tier) drop(e *entry) bool {
	if !t.expel(e) {
		return false
	}
	t.classes[e.class].policy.Remove(&e.Entry)
	return true
}

func (t *Tier) expel(e *entry) bool {
	s := t.shard(e.id)
	s.mu.Lock()
	left := s.leave(e, &t.queue)
	s.mu.Unlock()
	if left {
		t.queue.doom(e)
	}
	return left
}
