// Package policy decides which values stay in a cache of a number of bytes.
//
// Three things tell a value that will be asked for again: that it was asked for
// more than once, that this is not long ago, and, where hits count and not
// bytes, that it is small. S3-FIFO (Yang and others, SOSP 2023) is good at the
// first two: newcomers pass through a small queue, so that a scan or the many
// objects that nobody asks for twice displace little, and a ghost queue gives
// those a second chance that were let go too early. GreedyDual-Size-Frequency
// (Cherkasova, 1998) is good at the last two: it evicts the least L + hits /
// size, where L, the least value evicted so far, makes all that is not asked for
// grow old. Each loses where the other wins: S3-FIFO ignores size, and GDSF lets
// newcomers live as long as what was asked for once more.
//
// Greedy, the policy of this package, is GDSF with the newcomers and ghosts of
// S3-FIFO. A newcomer counts as an eighth of a hit, so that it waits for its
// second request in about that part of the space; a ghost that comes back has
// the hits that it went with, and one more. On traces of web pages (unit sizes),
// of photos, of heads and of slices, each with and without scans and one-hit
// wonders and at 1 to 25 % of the footprint, it is level with or above the
// better of the two, but for tenths of a point.
//
// There is no heap and no list that hits reorder. As in CAMP (Ghandeharizadeh
// and others, 2014), values of about the same size and as many hits go to one
// queue, first in, first out; L only grows, so each queue is sorted by itself and
// the next to go is the least of the tails. A hit adds one to a counter of the
// entry and no more; it counts when the entry comes to the tail and is judged.
package policy

import "sync/atomic"

// Entry is what a policy knows of a cached value. The owner sets the exported
// fields before Add and leaves them alone afterwards; the rest belongs to the
// policy. An Entry is added once, to one policy.
type Entry struct {
	// Hash stands for the key in what a policy remembers of entries that are
	// gone. Keys that share a hash share that memory, nothing else.
	Hash uint64
	// Size is what the value costs, in bytes, with all its bookkeeping.
	Size int64
	// Owner leads an owner back from an evicted Entry to what it is part of.
	Owner any
	// Hits are what an entry begins with that was known before: one that is
	// read back from disk.
	Hits uint8
	// Guest says that nobody has asked for the value yet. A guest is turned away
	// rather than that anything goes for it which was asked for more often than
	// Hits.
	Guest bool

	hits       atomic.Uint32 // since it was judged last, up to a limit
	state      state
	level      uint8 // hits when it was judged last
	class      uint8 // of its size
	kept       bool
	due        uint64
	prev, next *Entry
}

type state uint8

const (
	unknown state = iota // not added yet
	held
	gone
)

// Policy decides which entries stay within a number of bytes. All methods may
// run at once; Touch, which runs on every hit, takes no lock.
type Policy interface {
	// Add takes an entry in and returns what has to go for it; e itself may be
	// among that, as it is if it was removed before it was added.
	Add(e *Entry) (evicted []*Entry)
	// Touch notes that an entry was asked for.
	Touch(e *Entry)
	// Keep has an entry passed over once when it is due, so that whoever knows
	// that it will be asked for, and says so now and then, saves it from what is
	// asked for once. At most half of the budget is kept. It reports whether e is.
	Keep(e *Entry) bool
	// Remove forgets an entry that its owner drops. It reports whether the
	// policy still had it: for every entry added, either Remove returns true
	// or an Add returns it as evicted, never both.
	Remove(e *Entry) bool
	// Shrink returns what has to go, the next to be evicted first, for the
	// entries held to take n bytes less, or all of them.
	Shrink(n int64) (evicted []*Entry)
	// Heat is how often an entry was asked for, up to 15, as far as that still
	// counts: what Hits of an Entry that stands for the same value can begin
	// with.
	Heat(e *Entry) uint8
	// Size tells how many entries are held, and their bytes.
	Size() (entries, bytes int64)
}
