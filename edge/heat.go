package edge

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/popular"
	"meridian/edge/purge"
	"meridian/metadata"
)

// heat is what a node knows of how often objects and slices are asked for. A
// regional cache counts, by popular.Counter, what edges ask of it and what they
// tell that they answered by themselves: the two together are what its region
// asks for. An edge collects the latter until it has told it.
type heat struct {
	heads, slices *popular.Counter // nil at an edge

	mu     sync.Mutex
	untold map[cache.Key]float64 // nil at a regional cache
	noted  float64               // since then
	// every is how many requests one that is noted stands for.
	every atomic.Uint32
}

const (
	// heatHalfLife is how long a request counts half.
	heatHalfLife = 30 * time.Minute
	// heatBytes is for how many bytes of a cache one name is kept, and the others
	// the bounds of how many that are of a class.
	heatBytes, minHeatNames, maxHeatNames = 16 << 10, 1 << 10, 64 << 10
	// maxUntold is how many names an edge collects, and maxTold how many of them
	// it tells, the most asked for.
	maxUntold, maxTold = 16 << 10, 2000
	// noteRate is how many requests a second are noted, about. Of more, some stand
	// for the others.
	noteRate = 4000
)

func newHeat(cfg *Config) *heat {
	if cfg.Tier == metadata.TierEdge {
		h := &heat{untold: map[cache.Key]float64{}}
		h.every.Store(1)
		return h
	}
	names := int(min(max(cfg.Cache.Stats().Capacity/heatBytes, minHeatNames), maxHeatNames))
	count := func() *popular.Counter {
		return popular.New(popular.Config{HalfLife: heatHalfLife, Names: names, Now: cfg.Now})
	}
	return &heat{heads: count(), slices: count()}
}

// of is the counter of a class.
func (h *heat) of(c cache.Class) *popular.Counter {
	if c == cache.Slice {
		return h.slices
	}
	return h.heads
}

// note counts a request for a head or slice.
func (h *heat) note(k cache.Key) {
	if h.heads != nil {
		h.of(k.Class).Add(k.Name, 1)
		return
	}
	every := h.every.Load()
	if every > 1 && rand.Uint32N(every) != 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noted++
	if _, known := h.untold[k]; known || len(h.untold) < maxUntold {
		h.untold[k] += float64(every)
	}
}

// take hands over what an edge has collected in a time, and adapts to how much
// that was.
func (h *heat) take(in time.Duration) map[cache.Key]float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := h.noted * float64(h.every.Load())
	h.every.Store(uint32(max(1, requests/in.Seconds()/noteRate)))
	taken := h.untold
	h.untold, h.noted = map[cache.Key]float64{}, 0
	return taken
}

// hotThing is an object, or with Version a slice of it, and how often it was asked
// for, as nodes tell each other.
type hotThing struct {
	Bucket  string  `json:"bucket"`
	Key     string  `json:"key"`
	Version string  `json:"version,omitempty"`
	Slice   int64   `json:"slice,omitempty"`
	Count   float64 `json:"count"`
}

func (t *hotThing) object() purge.Object { return purge.Object{Bucket: t.Bucket, Key: t.Key} }

// cacheKey is under what a cache keeps it.
func (t *hotThing) cacheKey() cache.Key {
	if t.Version == "" {
		return cache.Key{Class: cache.Head, Name: headName(t.object(), "")}
	}
	return cache.Key{Class: cache.Slice, Name: sliceName(t.object(), t.Version, t.Slice)}
}

// hotThingOf is the inverse of cacheKey.
func hotThingOf(k cache.Key, count float64) (t hotThing, ok bool) {
	t.Count = count
	if k.Class == cache.Slice {
		t.Bucket, t.Key, t.Version, t.Slice, ok = httpcache.ParseSliceKey(k.Name)
		return t, ok
	}
	n, ok := httpcache.ParseHeadKey(k.Name)
	t.Bucket, t.Key = n.Bucket, n.Key
	return t, ok && n.VersionID == "" && n.Variant == ""
}

// used notes that a request was answered from a head: at an edge, where nobody
// was asked for it, since the next tier counts the others. What was fetched ahead
// has proved to be of use.
func (x *exchange) used(f *found) {
	if x.n.heat == nil || x.ahead || x.customer != nil || x.want != "" || x.versionID != "" {
		return
	}
	here := f.filled == nil
	if here || x.n.cfg.Tier == metadata.TierRegional {
		x.n.heat.note(cache.Key{Class: cache.Head, Name: f.name})
	}
	if here && f.head.Ahead {
		x.n.ahead.won(cache.Key{Class: cache.Head, Name: f.name})
	}
}

// usedSlice notes the same of a slice; held says that nobody was asked for it.
func (n *Node) usedSlice(o purge.Object, h *httpcache.Head, index int64, held bool) {
	if n.heat == nil || h.Inline {
		return
	}
	k := cache.Key{Class: cache.Slice, Name: sliceName(o, h.VersionID, index)}
	if held || n.cfg.Tier == metadata.TierRegional {
		n.heat.note(k)
	}
	if held && n.ahead.any() {
		n.ahead.won(k)
	}
}
