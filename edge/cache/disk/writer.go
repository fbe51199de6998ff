package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// lookEvery is how often the free space is looked at while nothing is
	// written, and saveEvery how often hits are saved.
	lookEvery = 2 * time.Second
	saveEvery = 2 * time.Minute
	// closeTimeout bounds what Close writes.
	closeTimeout = 5 * time.Second
)

// run writes and removes files until the tier is closed and nothing is left to
// do. Being one, it keeps their order: room is made before it is taken.
func (t *Tier) run() {
	defer close(t.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	saved := time.Now()
	var deadline <-chan time.Time
	quit := t.quit
	for {
		e, condemned := t.queue.next()
		for _, out := range condemned {
			t.remove(out)
		}
		if e != nil {
			t.write(e)
		}
		if time.Since(saved) > saveEvery {
			t.saveHits()
			saved = time.Now()
		}
		switch {
		case quit == nil: // closing
			if e == nil && len(condemned) == 0 {
				return
			}
			select {
			case <-deadline:
				return
			default:
			}
		case e != nil:
			select {
			case <-quit:
				quit, deadline = nil, time.After(closeTimeout)
			default:
			}
		default:
			select {
			case <-t.queue.wake:
			case <-tick.C:
				t.makeRoom(0)
			case <-quit:
				quit, deadline = nil, time.After(closeTimeout)
			}
		}
	}
}

// write gives a value its file, unless it has left the index.
func (t *Tier) write(e *entry) {
	s := t.shard(e.id)
	waits := s.waiting(e)
	if waits == nil {
		return
	}
	if !t.makeRoom(e.Size) {
		t.decline(e)
		return
	}
	draft := filepath.Join(t.cfg.Dir, draftDir, draftPrefix+strconv.FormatUint(e.seq, 16))
	err := t.inDir(draft, func() error { return writeRecord(draft, e.seq, waits.name, waits.value) })
	published := false
	if err == nil {
		published, err = t.publish(e, draft)
	}
	if err != nil {
		t.complain("value cannot be written", draft, err)
		t.decline(e)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			// Whatever has run out, quota or inodes, those that are due give back.
			t.shrink(max(e.Size, minClassBytes))
		}
	}
	if !published {
		if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.complain("file cannot be removed", draft, err)
		}
	}
}

// publish gives a draft its name. A Delete that comes meanwhile waits, and then
// finds it.
func (t *Tier) publish(e *entry, draft string) (published bool, err error) {
	s := t.shard(e.id)
	s.files.Lock()
	defer s.files.Unlock()
	if s.waiting(e) == nil {
		return false, nil
	}
	path := t.path(&e.stored)
	if err := t.inDir(path, func() error { return os.Rename(draft, path) }); err != nil {
		return false, err
	}
	e.onDisk = true
	s.mu.Lock()
	t.queue.release(e)
	s.mu.Unlock()
	return true, nil
}

// waiting returns the value of e if it waits to be written.
func (s *shard) waiting(e *entry) *pending {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return e.pending
}

// inDir does what needs the directory of path, and makes it first if somebody
// has cleared the cache by hand.
func (t *Tier) inDir(path string, do func() error) error {
	err := do()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return do()
}

// decline gives up a value that was put.
func (t *Tier) decline(e *entry) {
	if t.drop(e) {
		t.classes[e.class].declined.Add(1)
	}
}

// remove removes the file of an entry that leaves.
func (t *Tier) remove(e *entry) {
	s := t.shard(e.id)
	s.files.Lock()
	defer s.files.Unlock()
	if err := t.unlink(e); err != nil {
		// It stays among those that leave: a Delete tries again.
		t.complain("file cannot be removed", t.path(&e.stored), err)
		return
	}
	s.mu.Lock()
	s.left(e)
	s.mu.Unlock()
}

// unlink removes the file of e, if there is one, under shard.files.
func (t *Tier) unlink(e *entry) error {
	if !e.onDisk {
		return nil
	}
	if err := os.Remove(t.path(&e.stored)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e.onDisk = false
	return nil
}

// makeRoom lets values go until n bytes can be written and the headroom is kept.
// It reports whether they can.
func (t *Tier) makeRoom(n int64) bool {
	for range 3 {
		free, err := t.cfg.free(t.cfg.Dir)
		if err != nil {
			t.complain("free space is not known", t.cfg.Dir, err)
			return false
		}
		lack := t.cfg.Headroom + n - free
		if lack <= 0 {
			return true
		}
		if !t.shrink(lack) {
			return false
		}
	}
	return false
}

// shrink lets go of n bytes, of slices as long as there are any, and removes
// their files. It reports whether there was anything.
func (t *Tier) shrink(n int64) bool {
	some := false
	for i := len(t.classes) - 1; i >= 0 && n > 0; i-- {
		for _, out := range t.classes[i].policy.Shrink(n) {
			n -= out.Size
			some = true
			t.evict(out)
		}
	}
	for _, e := range t.queue.condemned() {
		t.remove(e)
	}
	return some
}

func (t *Tier) path(f *stored) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 0, len(t.cfg.Dir)+80)
	b = append(b, t.cfg.Dir...)
	b = append(b, filepath.Separator, digits[f.id[0]>>4], digits[f.id[0]&15], filepath.Separator)
	return string(f.appendName(b))
}

// freeBytes is the space that is left to processes like ours.
func freeBytes(dir string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // their types differ between systems
}

// complaint lets one line be logged of many that say the same.
type complaint struct {
	mu     sync.Mutex
	last   time.Time
	silent int
}

// complainEvery is how often the log hears of trouble: a disk that fails does so
// at every request.
const complainEvery = 10 * time.Second

func (t *Tier) complain(what, path string, err error) {
	c := &t.complaint
	c.mu.Lock()
	now := time.Now()
	if now.Sub(c.last) < complainEvery {
		c.silent++
		c.mu.Unlock()
		return
	}
	silent := c.silent
	c.last, c.silent = now, 0
	c.mu.Unlock()
	t.cfg.Log.WarnContext(context.Background(), "disk cache: "+what, "path", path, "err", err, "others", silent)
}
