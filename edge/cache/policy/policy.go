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

	freq  atomic.Uint32 // hits since it was last judged, up to a limit
	queue queueID
	prev  *Entry
	next  *Entry
}

// Policy decides which entries stay within a number of bytes. All methods may
// run at once; Touch, which runs on every hit, takes no lock.
type Policy interface {
	// Add takes an entry in and returns what has to go for it; e itself may be
	// among that. An entry removed before it was added is not taken in.
	Add(e *Entry) (evicted []*Entry)
	// Touch notes that an entry was asked for.
	Touch(e *Entry)
	// Remove forgets an entry that its owner drops. It reports whether the
	// policy still had it: for every entry added, either Remove returns true
	// or Add returned it as evicted, never both.
	Remove(e *Entry) bool
	// Size tells how many entries are held, and their bytes.
	Size() (entries, bytes int64)
}
