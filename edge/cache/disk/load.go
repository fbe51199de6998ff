package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"meridian/internal/filelock"
)

// ErrInUse says that another process has the directory open.
var ErrInUse = errors.New("disk cache is in use by another process")

const (
	lockName    = "meridian-cache.lock"
	draftDir    = "tmp"
	draftPrefix = "put-"
	// format says how the directory is laid out.
	format = "meridian disk cache 1"
)

// claim makes the directory and takes its lock. The system gives the lock free
// when the process ends, however it ends.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("disk cache: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("disk cache: the directory must be writable: %w", err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, filelock.Release(f))
	}
	return f, nil
}

// lockFile takes the lock and says in the file how the directory is laid out,
// and whose it is.
func lockFile(f *os.File) error {
	dir := filepath.Dir(f.Name())
	text, err := io.ReadAll(io.LimitReader(f, 128))
	if err != nil {
		return fmt.Errorf("disk cache: %w", err)
	}
	layout, owner, _ := strings.Cut(string(text), "\n")
	switch err := filelock.Try(f); {
	case errors.Is(err, filelock.ErrHeld):
		return fmt.Errorf("%w: %s, %s: give each node a directory of its own", ErrInUse, dir, strings.TrimSpace(owner))
	case err != nil:
		return fmt.Errorf("disk cache: lock %s: %w", f.Name(), err)
	case layout != "" && layout != format:
		return fmt.Errorf("disk cache: %s was written by another version (%q, not %q): empty it, or name another directory", dir, layout, format)
	}
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("disk cache: lock %s: %w", f.Name(), err)
	}
	if _, err := f.WriteAt(fmt.Appendf(nil, "%s\nprocess %d\n", format, os.Getpid()), 0); err != nil {
		return fmt.Errorf("disk cache: lock %s: %w", f.Name(), err)
	}
	return nil
}

// load makes the directories and an index of what they hold.
func (t *Tier) load() error {
	if err := t.clearDrafts(); err != nil {
		return err
	}
	var found [len(t.shards)][]stored
	var last atomic.Int64
	last.Store(-1)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for {
				i := int(last.Add(1))
				if i >= len(found) {
					return nil
				}
				var err error
				if found[i], err = t.list(i); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range t.shards {
		t.shards[i].entries = make(map[id]*entry, len(found[i]))
		t.shards[i].leaving = map[id]*entry{}
	}
	all := slices.Concat(found[:]...)
	// The oldest come first, as they came.
	slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(a.seq, b.seq) })
	hits := t.loadHits()
	for i := range all {
		t.take(&all[i], hits)
	}
	return nil
}

// list returns the files of a shard. What is not ours is passed over.
func (t *Tier) list(shard int) ([]stored, error) {
	dir := filepath.Join(t.cfg.Dir, fmt.Sprintf("%02x", shard))
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := make([]stored, 0, len(names))
	for _, name := range names {
		if file, ok := parseName(name); ok && int(file.id[0]) == shard {
			list = append(list, file)
		}
	}
	return list, nil
}

// take puts a file that was found into the index. Of several values of a key,
// the last stays.
func (t *Tier) take(f *stored, hits map[uint64]uint8) {
	t.lastSeq.Store(f.seq) // they come sorted
	e := newEntry(f)
	e.onDisk, e.Hits = true, hits[e.Hash]
	c, s := &t.classes[e.class], t.shard(e.id)
	if old := s.entries[e.id]; old != nil {
		t.drop(old)
	}
	s.entries[e.id] = e
	for _, out := range c.policy.Add(&e.Entry) { // the budget may be less than it was
		t.evict(out)
	}
}

// clearDrafts removes what a crash left half written.
func (t *Tier) clearDrafts() error {
	dir := filepath.Join(t.cfg.Dir, draftDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		seq, ours := strings.CutPrefix(f.Name(), draftPrefix)
		if _, err := strconv.ParseUint(seq, 16, 64); !ours || err != nil {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}
