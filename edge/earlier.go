package edge

import (
	"slices"
	"sync"

	"meridian/edge/purge"
)

// maxEarlier is how many URLs, prefixes and surrogate keys of purges are remembered,
// at most, for what an earlier run of the node left on disk.
const maxEarlier = 20_000

// earlier are the hard purges of this run, for heads that an earlier one left on
// disk. The index does not know them. They are asked for again before they are
// served, but what was purged must not be confirmed either: by purges people get
// rid of bytes that are wrong, of which the origin says that they have not changed.
type earlier struct {
	mu      sync.Mutex
	targets []purge.Target
	count   int
	all     bool // nothing earlier is to be used any more
}

// purged notes a purge, before what it selects is dropped.
func (e *earlier) purged(t purge.Target) {
	if t.Soft {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count += 1 + len(t.Objects) + len(t.Prefixes) + len(t.SurrogateKeys)
	if e.all = e.all || t.Everything || e.count > maxEarlier; e.all {
		e.targets = nil
		return
	}
	e.targets = append(e.targets, t)
}

// covers reports whether a purge has selected a head of o with these surrogate keys.
func (e *earlier) covers(o purge.Object, surrogates []string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all || slices.ContainsFunc(e.targets, func(t purge.Target) bool {
		if slices.ContainsFunc(t.SurrogateKeys, func(k string) bool { return slices.Contains(surrogates, k) }) {
			return true
		}
		t.SurrogateKeys = nil // which Matches takes for a match
		return t.Matches(o)
	})
}
