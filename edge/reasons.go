package edge

import (
	"hash/maphash"
	"sync"
	"time"

	"meridian/metadata"
)

// reason is why something was missing: the words of metadata.Miss, in a byte.
type reason uint8

const (
	noReason reason = iota
	cold
	expired
	evicted
	purged
	overwritten
	bypassed
	collapsed
	revalidated
	noLease
	varied
	demanded
	reasonCount
)

func (r reason) String() string {
	return [reasonCount]string{
		"", metadata.MissCold, metadata.MissExpired, metadata.MissEvicted, metadata.MissPurged, metadata.MissOverwritten,
		metadata.MissBypassed, metadata.MissCollapsed, metadata.MissRevalidated, metadata.MissNoLease,
		metadata.MissVaried, metadata.MissDemanded,
	}[r]
}

// outcome is how a request that asked the next tier went on.
type outcome uint8

const (
	askedMiss outcome = iota
	askedRevalidated
	askedFailed
)

func (o outcome) String() string {
	return [...]string{metadata.AskedMiss, metadata.AskedRevalidated, metadata.AskedFailed}[o]
}

// reasons remembers, for whoever asks why a URL was a miss, what became of names
// of heads and slices that are not held any more, and the last miss of each. It
// is told when something is taken away or fetched, never of hits.
type reasons struct {
	gone   memo // by name of what is gone
	misses memo // by name of a head, or of a version's slices as a whole
}

func newReasons() *reasons {
	r := &reasons{}
	r.gone.seed, r.misses.seed = maphash.MakeSeed(), maphash.MakeSeed()
	return r
}

// lost says that what had this name is not held any more.
func (r *reasons) lost(name string, why reason, at time.Time) {
	r.gone.put(name, note{at: at.UnixMicro(), why: why})
}

// absent tells why what has this name is not held.
func (r *reasons) absent(name string) reason {
	if n, ok := r.gone.get(name); ok {
		return n.why
	}
	return cold
}

// allSlices stands for the index of a slice in the name under which the misses
// of all slices of a version are remembered.
const allSlices = -1

// miss is a request that had to ask: why, and what came of it.
type miss struct {
	at     time.Time // when the request came: the latest counts
	why    reason
	led    bool // it asked itself, rather than wait for another's answer
	result outcome
	slice  int64
}

func (r *reasons) missed(name string, m miss) {
	n := note{at: m.at.UnixMicro(), why: m.why, result: m.result, slice: m.slice}
	if !m.led {
		n.why, n.cause = collapsed, m.why
	}
	r.misses.put(name, n)
}

// last is the latest miss under a name; nil where none is remembered.
func (r *reasons) last(name string, ofSlice bool) *metadata.Miss {
	n, ok := r.misses.get(name)
	if !ok {
		return nil
	}
	m := &metadata.Miss{At: time.UnixMicro(n.at).UTC(), Reason: n.why.String(), Cause: n.cause.String(), Result: n.result.String()}
	if ofSlice {
		m.Slice = &n.slice
	}
	return m
}

// A memo has memoSets sets of memoWays notes: 64 Ki of them, in 2.2 MB.
const (
	memoSets = 8 << 10
	memoWays = 8
)

// memo keeps the newest notes by the hash of a name, in a fixed amount of
// memory. A name whose hash is another's gets the other's note, once in
// 10^14 questions.
type memo struct {
	seed maphash.Seed
	sets [memoSets]struct {
		mu    sync.Mutex
		notes [memoWays]note
	}
}

// note is what is remembered of one name.
type note struct {
	hash   uint64
	at     int64 // Unix time in microseconds; 0 where the place is free
	slice  int64
	why    reason
	cause  reason
	result outcome
}

// put keeps n, in place of what there was under the name unless that is newer,
// else of the oldest note in its set.
func (m *memo) put(name string, n note) {
	n.hash = maphash.String(m.seed, name)
	set := &m.sets[n.hash%memoSets]
	set.mu.Lock()
	defer set.mu.Unlock()
	oldest := &set.notes[0]
	for i := range set.notes {
		at := &set.notes[i]
		if at.hash == n.hash && at.at != 0 {
			if at.at <= n.at {
				*at = n
			}
			return
		}
		if at.at < oldest.at {
			oldest = at
		}
	}
	*oldest = n
}

func (m *memo) get(name string) (note, bool) {
	hash := maphash.String(m.seed, name)
	set := &m.sets[hash%memoSets]
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, n := range set.notes {
		if n.hash == hash && n.at != 0 {
			return n, true
		}
	}
	return note{}, false
}
