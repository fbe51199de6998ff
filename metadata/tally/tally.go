// Package tally counts the requests of a node and tells the catalogue of them,
// each exactly once. Cache nodes and origins count alike.
package tally

import (
	"sync"
	"time"

	"meridian/metadata"
)

// Result says how a request was answered: the words of metadata.Counter.
type Result uint8

// The results.
const (
	Hit Result = iota
	Miss
	Stale
	Revalidated
	Pass
	results // how many there are
)

func (r Result) String() string {
	return [results]string{"hit", "miss", "stale", "revalidated", "pass"}[r]
}

// Depth is the deepest tier without which an edge could not answer a request.
type Depth uint8

// The depths.
const (
	Self Depth = iota
	Regional
	Origin
)

// maxViews bounds the objects whose views are kept between two pushes; requests
// for more of them are not counted as views.
const maxViews = 100_000

// pushedViews bounds the objects whose views go into one push. A node that answers
// ten thousand in a second would keep the catalogue busy with nothing else, and
// its lease would run out over it; what is left goes later, added up.
const pushedViews = 1000

// Sample is what one finished request adds to the counters.
type Sample struct {
	Bucket, Key string
	Class       string
	Result      Result
	Depth       Depth
	Bytes       int64 // of the body, sent
	HitBytes    int64 // of those, not fetched for this request
	FirstByte   time.Duration
	View        bool // counts as a view of a photo or video
}

// Tally collects samples until they are pushed. Its methods may run at once.
type Tally struct {
	mu       sync.Mutex
	counters map[counterKey]*metadata.Counter
	views    map[viewKey]int64
	purges   []metadata.PurgeAck
	warms    map[string]metadata.WarmProgress
	changed  changes
	// parts and viewed have counted something since they were collected.
	parts  []*part
	viewed []*Views
}

type counterKey struct {
	minute        int64 // Unix
	bucket, class string
}

type viewKey struct{ bucket, key string }

// New returns an empty Tally.
func New() *Tally {
	return &Tally{counters: map[counterKey]*metadata.Counter{}, views: map[viewKey]int64{}}
}

// Add counts a request that ended at now.
func (t *Tally) Add(now time.Time, s *Sample) {
	minute := now.UTC().Truncate(time.Minute)
	t.mu.Lock()
	defer t.mu.Unlock()
	add(t.counter(counterKey{minute.Unix(), s.Bucket, s.Class}), s)
	if s.View {
		t.addViews(viewKey{s.Bucket, s.Key}, 1)
	}
}

// counter returns that of k, with t.mu held.
func (t *Tally) counter(k counterKey) *metadata.Counter {
	c := t.counters[k]
	if c == nil {
		c = &metadata.Counter{Minute: time.Unix(k.minute, 0).UTC(), Bucket: k.bucket, Class: k.class}
		t.counters[k] = c
	}
	return c
}

// addViews counts views, with t.mu held.
func (t *Tally) addViews(k viewKey, n int64) {
	if _, known := t.views[k]; known || len(t.views) < maxViews {
		t.views[k] += n
	}
}

// add adds a request to a counter.
func add(c *metadata.Counter, s *Sample) {
	c.Requests++
	switch s.Result {
	case Hit:
		c.Hits++
	case Miss:
		c.Misses++
	case Stale:
		c.Stale++
	case Revalidated:
		c.Revalidated++
	default:
		c.Pass++
	}
	switch s.Depth {
	case Regional:
		c.AnsweredRegional++
	case Origin:
		c.AnsweredOrigin++
	default:
	}
	c.Bytes += s.Bytes
	c.HitBytes += s.HitBytes
	c.Latency.Add(s.FirstByte)
}

// Prefetched counts what was fetched ahead, or became of that, at now.
func (t *Tally) Prefetched(now time.Time, bucket, class string, p metadata.Prefetch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counter(counterKey{now.UTC().Truncate(time.Minute).Unix(), bucket, class}).Prefetch.Add(p)
}

// Purged notes that a purge was applied.
func (t *Tally) Purged(a metadata.PurgeAck) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purges = append(t.purges, a)
}

// Warmed notes how far a warm-up is.
func (t *Tally) Warmed(p metadata.WarmProgress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.warms == nil {
		t.warms = map[string]metadata.WarmProgress{}
	}
	t.warms[p.ID] = p
}

// What waits to be told of pull zones is bounded, too: of more than that caches
// elsewhere do not hear.
const (
	maxChanged      = 10 * metadata.MaxZoneTargets
	maxChangedBytes = 16 * metadata.MaxZoneBytes
)

// changes are targets of pull zones, in the order in which they were changed.
type changes struct {
	list  []metadata.ZoneTarget
	known map[metadata.ZoneTarget]struct{}
	bytes int
}

// Changed notes what an unsafe request through a pull zone has changed.
func (t *Tally) Changed(z metadata.ZoneTarget) {
	if z.Check() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.changed
	if _, twice := c.known[z]; twice || len(c.list) == maxChanged || c.bytes+len(z.Target) > maxChangedBytes {
		return
	}
	if c.known == nil {
		c.known = map[metadata.ZoneTarget]struct{}{}
	}
	c.list, c.bytes = append(c.list, z), c.bytes+len(z.Target)
	c.known[z] = struct{}{}
}

// takeChanged hands over what was changed, as much as goes in one push: the oldest.
func (t *Tally) takeChanged() []metadata.ZoneTarget {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &t.changed
	n, bytes := 0, 0
	for ; n < len(c.list) && n < metadata.MaxZoneTargets && bytes+len(c.list[n].Target) <= metadata.MaxZoneBytes; n++ {
		bytes += len(c.list[n].Target)
		delete(c.known, c.list[n])
	}
	taken := c.list[:n:n]
	c.list, c.bytes = append([]metadata.ZoneTarget(nil), c.list[n:]...), c.bytes-bytes
	return taken
}

// takeWarms hands over how far warm-ups are.
func (t *Tally) takeWarms() (list []metadata.WarmProgress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.warms {
		list = append(list, p)
	}
	clear(t.warms)
	return list
}

// isEmpty reports whether the last push has left nothing.
func (t *Tally) isEmpty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.views) == 0 && len(t.changed.list) == 0
}

// take hands over what was collected and starts anew, but for
// views beyond pushedViews.
func (t *Tally) take() (counters []metadata.Counter, views []metadata.View, purges []metadata.PurgeAck) {
	t.mu.Lock()
	parts, viewed := t.parts, t.viewed
	t.parts, t.viewed = nil, nil
	t.mu.Unlock()
	collected := make([]collection, 0, len(parts))
	for _, p := range parts { // each has a lock of its own, under which it takes that of t
		collected = append(collected, p.collect())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range collected {
		t.merge(&collected[i])
	}
	for _, v := range viewed {
		if n := v.collect(); n > 0 {
			t.addViews(v.key, n)
		}
	}
	for _, c := range t.counters {
		counters = append(counters, *c)
	}
	for k, n := range t.views {
		if len(views) == pushedViews {
			break
		}
		views = append(views, metadata.View{Bucket: k.bucket, Key: k.key, Count: n})
		delete(t.views, k)
	}
	purges = t.purges
	clear(t.counters)
	t.purges = nil
	return counters, views, purges
}
