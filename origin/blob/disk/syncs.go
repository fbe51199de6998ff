package disk

import "sync"

// dirSyncs syncs directories for many at once: a sync serves everybody whose name
// was in the directory when it began.
type dirSyncs struct {
	sync func(dir string) error // syncDir, unless a test wants to know of it

	mu   sync.Mutex
	dirs map[string]*dirRounds
}

// dirRounds are the syncs of a directory.
type dirRounds struct {
	now  *round // under way
	next *round // to begin when that ends
}

// round is one sync of a directory.
type round struct {
	done chan struct{}
	err  error // once done
}

// do returns when a sync of dir is done that began after the call.
func (s *dirSyncs) do(dir string) error {
	s.mu.Lock()
	d := s.dirs[dir]
	if d == nil {
		d = &dirRounds{}
		if s.dirs == nil {
			s.dirs = map[string]*dirRounds{}
		}
		s.dirs[dir] = d
	}
	if r := d.next; r != nil {
		s.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &round{done: make(chan struct{})}
	d.next = r
	before := d.now
	s.mu.Unlock()
	if before != nil {
		<-before.done
	}

	s.mu.Lock()
	d.now, d.next = r, nil
	s.mu.Unlock()
	r.err = s.sync(dir)
	s.mu.Lock()
	if d.now = nil; d.next == nil {
		delete(s.dirs, dir)
	}
	s.mu.Unlock()
	close(r.done)
	return r.err
}
