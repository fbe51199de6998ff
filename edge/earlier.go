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
	mu       sync.RWMutex
	objects  map[purge.Object]struct{}
	prefixes map[purge.Object]struct{} // a bucket is one without a key
	keys     map[string]struct{}
	all      bool // nothing earlier is to be used any more
}

// purged notes a purge, before what it selects is dropped.
func (e *earlier) purged(t purge.Target) {
	if t.Soft {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all = e.all || t.Everything; !e.all {
		e.objects = withAll(e.objects, t.Objects)
		e.prefixes = withAll(e.prefixes, t.Prefixes)
		e.keys = withAll(e.keys, t.SurrogateKeys)
		if t.Bucket != "" {
			e.prefixes = withAll(e.prefixes, []purge.Object{{Bucket: t.Bucket}})
		}
		e.all = len(e.objects)+len(e.prefixes)+len(e.keys) > maxEarlier
	}
	if e.all {
		e.objects, e.prefixes, e.keys = nil, nil, nil
	}
}

func withAll[T comparable](set map[T]struct{}, members []T) map[T]struct{} {
	if set == nil {
		set = map[T]struct{}{}
	}
	for _, m := range members {
		set[m] = struct{}{}
	}
	return set
}

// covers reports whether a purge has selected a head of o with these surrogate keys.
func (e *earlier) covers(o purge.Object, surrogates []string) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if _, ok := e.objects[o]; ok || e.all {
		return true
	}
	for i := 0; len(e.prefixes) > 0 && i <= len(o.Key); i++ {
		if _, ok := e.prefixes[purge.Object{Bucket: o.Bucket, Key: o.Key[:i]}]; ok {
			return true
		}
	}
	return slices.ContainsFunc(surrogates, func(k string) bool { _, ok := e.keys[k]; return ok })
}
