package edge

import (
	"sync"

	"meridian/edge/purge"
	"meridian/metadata"
)

// fills keeps the fills of heads that run, so that an event or a purge beats
// them: what they bring may be older than it. The order is
//
//	event:  mark the fills of what it touches, let nobody join them, delete the heads
//	fill:   begin; ask upstream, naming what begin returned; keep the head unless marked
//
// Marking and keeping exclude each other, so a head that is kept is either kept
// before the mark, and deleted after it, or not kept at all. A fill that begins
// after the mark names the event's Seq to the next tier, which answers with
// nothing older.
type fills struct {
	mu      sync.Mutex
	heard   metadata.Seq // of the newest mark
	running map[purge.Object]map[*fillMark]struct{}
}

type fillMark struct {
	object purge.Object
	key    string // under which the fill can be joined
	marked bool
	// current is the version that the newest event has made current, where it
	// was a write: a marked fill that brings just this one is up to date.
	current string
}

func newFills() *fills {
	return &fills{running: map[purge.Object]map[*fillMark]struct{}{}}
}

// begin registers a fill. Its request must ask for an answer that includes
// heard.
func (f *fills) begin(o purge.Object, key string) (m *fillMark, heard metadata.Seq) {
	m = &fillMark{object: o, key: key}
	f.mu.Lock()
	defer f.mu.Unlock()
	set := f.running[o]
	if set == nil {
		set = map[*fillMark]struct{}{}
		f.running[o] = set
	}
	set[m] = struct{}{}
	return m, f.heard
}

// latest is the Seq of the newest mark.
func (f *fills) latest() metadata.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard
}

// keep calls put, unless the fill was marked by anything but the write of the
// very version it brings. It reports whether it did.
func (f *fills) keep(m *fillMark, version string, put func()) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.marked && (m.current == "" || m.current != version) {
		return false
	}
	put()
	return true
}

// touch marks the running fills of an object, for a change that the feed says
// nothing of.
func (f *fills) touch(o purge.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for m := range f.running[o] {
		m.marked, m.current = true, ""
	}
}

// hear has requests to the next tier ask for answers that include s.
func (f *fills) hear(s metadata.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = s
}

// touched reports whether a fill was marked.
func (f *fills) touched(m *fillMark) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return m.marked
}

func (f *fills) end(m *fillMark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := f.running[m.object]
	delete(set, m)
	if len(set) == 0 {
		delete(f.running, m.object)
	}
}

// mark marks the running fills that t may touch and returns the keys under
// which they can be joined. A fill whose surrogate keys are not known yet is
// touched by every target that has any. current is the version that the event
// wrote, or empty.
func (f *fills) mark(s metadata.Seq, t *purge.Target, current string) (keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = s
	add := func(set map[*fillMark]struct{}) {
		for m := range set {
			m.marked, m.current = true, current
			keys = append(keys, m.key)
		}
	}
	if len(t.Objects) > 0 && len(t.Prefixes) == 0 && len(t.SurrogateKeys) == 0 && t.Bucket == "" && !t.Everything {
		for _, o := range t.Objects { // by far the most common
			add(f.running[o])
		}
		return keys
	}
	for o, set := range f.running {
		if t.Matches(o) {
			add(set)
		}
	}
	return keys
}
