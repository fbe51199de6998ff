package edge

import (
	"strings"
	"sync"
	"time"

	"meridian/metadata"
)

// result says how a request was answered: the words of metadata.Counter.
type result uint8

const (
	resultHit result = iota
	resultMiss
	resultStale
	resultRevalidated
	resultPass
	results // how many there are
)

func (r result) String() string {
	return [results]string{"hit", "miss", "stale", "revalidated", "pass"}[r]
}

// depth is the deepest tier without which a request could not be answered.
type depth uint8

const (
	depthSelf depth = iota
	depthRegional
	depthOrigin
)

// maxViews bounds the objects whose views are kept between two pushes; requests
// for more of them are not counted as views.
const maxViews = 100_000

// sample is what one finished request adds to the counters.
type sample struct {
	bucket, key string
	class       string
	result      result
	depth       depth
	bytes       int64 // of the body, sent
	hitBytes    int64 // of those, not fetched for this request
	firstByte   time.Duration
	view        bool
}

// tally collects samples until they are pushed.
type tally struct {
	mu       sync.Mutex
	counters map[counterKey]*metadata.Counter
	views    map[viewKey]int64
	purges   []metadata.PurgeAck
}

type counterKey struct {
	minute        int64 // Unix
	bucket, class string
}

type viewKey struct{ bucket, key string }

func newTally() *tally {
	return &tally{counters: map[counterKey]*metadata.Counter{}, views: map[viewKey]int64{}}
}

func (t *tally) add(now time.Time, s *sample) {
	minute := now.UTC().Truncate(time.Minute)
	k := counterKey{minute.Unix(), s.bucket, s.class}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counters[k]
	if c == nil {
		c = &metadata.Counter{Minute: minute, Bucket: s.bucket, Class: s.class}
		t.counters[k] = c
	}
	c.Requests++
	switch s.result {
	case resultHit:
		c.Hits++
	case resultMiss:
		c.Misses++
	case resultStale:
		c.Stale++
	case resultRevalidated:
		c.Revalidated++
	default:
		c.Pass++
	}
	switch s.depth {
	case depthRegional:
		c.AnsweredRegional++
	case depthOrigin:
		c.AnsweredOrigin++
	default: // by the node itself
	}
	c.Bytes += s.bytes
	c.HitBytes += s.hitBytes
	c.Latency.Add(s.firstByte)
	if s.view {
		v := viewKey{s.bucket, s.key}
		if _, known := t.views[v]; known || len(t.views) < maxViews {
			t.views[v]++
		}
	}
}

func (t *tally) purged(a metadata.PurgeAck) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.purges = append(t.purges, a)
}

// take hands over what was collected and starts anew.
func (t *tally) take() (counters []metadata.Counter, views []metadata.View, purges []metadata.PurgeAck) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.counters {
		counters = append(counters, *c)
	}
	for k, n := range t.views {
		views = append(views, metadata.View{Bucket: k.bucket, Key: k.key, Count: n})
	}
	purges = t.purges
	clear(t.counters)
	clear(t.views)
	t.purges = nil
	return counters, views, purges
}

// classOf is the class of a content type in the hit report.
func classOf(contentType string) string {
	kind, _, _ := strings.Cut(contentType, "/")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "image":
		return metadata.ClassPhoto
	case "video":
		return metadata.ClassVideo
	}
	return metadata.ClassOther
}
