package disk

import (
	"container/list"
	"sync"
)

// manifest reads the manifest of a blob, or remembers it: a cache node reads a
// long video slice by slice, and its manifest may be as long as a slice.
func (s *Store) manifest(place string) (*manifest, error) {
	if m := s.recent.find(place); m != nil {
		return m, nil
	}
	m, err := readManifest(place)
	if err == nil {
		s.recent.keep(place, m)
	}
	return m, err
}

// maxRecent bounds the memory of manifests, in parts of some 100 bytes;
// recentCost is what a manifest takes beside its parts, metadata included.
const (
	maxRecent  = 100_000
	recentCost = 30
)

// manifests remembers the manifests read of late. A blob never changes, so
// neither does its manifest.
type manifests struct {
	mu      sync.Mutex
	byPlace map[string]*list.Element
	order   list.List // of remembered, the one asked for last in front
	cost    int
}

type remembered struct {
	place string
	*manifest
}

func (r remembered) cost() int { return len(r.Parts) + recentCost }

func (m *manifests) find(place string) *manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byPlace[place]
	if e == nil {
		return nil
	}
	m.order.MoveToFront(e)
	return e.Value.(remembered).manifest
}

func (m *manifests) keep(place string, one *manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byPlace == nil {
		m.byPlace = map[string]*list.Element{}
	}
	if m.byPlace[place] != nil {
		return
	}
	r := remembered{place, one}
	m.byPlace[place] = m.order.PushFront(r)
	for m.cost += r.cost(); m.cost > maxRecent && m.order.Len() > 1; {
		m.drop(m.order.Back())
	}
}

func (m *manifests) forget(place string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byPlace[place]; e != nil {
		m.drop(e)
	}
}

// drop needs the lock.
func (m *manifests) drop(e *list.Element) {
	r := m.order.Remove(e).(remembered)
	delete(m.byPlace, r.place)
	m.cost -= r.cost()
}
