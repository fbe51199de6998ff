package metadata

import (
	"context"
	"math"
	"strings"
	"time"
)

// Classes of content in the hit report.
const (
	ClassPhoto = "photo"
	ClassVideo = "video"
	ClassOther = "other"
)

// ClassOf is the class of a content type.
func ClassOf(contentType string) string {
	kind, _, _ := strings.Cut(contentType, "/")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "image":
		return ClassPhoto
	case "video":
		return ClassVideo
	}
	return ClassOther
}

// Counter counts the requests of one node for one bucket and class in one
// minute. Hits, Misses, Stale, Revalidated and Pass add up to Requests:
//
//   - hit: answered from this node's cache (at an origin: from this region's
//     blob store), negative answers included
//   - miss: some of the answer had to be fetched from upstream (at an origin:
//     from another region)
//   - stale: answered from cache after its freshness ended
//   - revalidated: answered from cache after upstream confirmed it
//   - pass: never looked at the cache
//
// Requests refused before the cache was asked (wrong signature, malformed) are
// not counted.
type Counter struct {
	Minute      time.Time `json:"minute"` // UTC, start of the minute
	Bucket      string    `json:"bucket"`
	Class       string    `json:"class"`
	Requests    int64     `json:"requests"`
	Hits        int64     `json:"hits"`
	Misses      int64     `json:"misses"`
	Stale       int64     `json:"stale"`
	Revalidated int64     `json:"revalidated"`
	Pass        int64     `json:"pass"`
	Bytes       int64     `json:"bytes"`     // of bodies sent
	HitBytes    int64     `json:"hit_bytes"` // of those, not fetched from upstream for this request
	// AnsweredRegional and AnsweredOrigin are, at an edge, the requests that
	// could not be answered without that tier, the deepest one counting. The
	// edge answered the rest by itself.
	AnsweredRegional int64     `json:"answered_regional,omitempty"`
	AnsweredOrigin   int64     `json:"answered_origin,omitempty"`
	Latency          Histogram `json:"latency,omitempty"`
	// Prefetch is what the node fetched ahead, and what became of it. It takes
	// part in none of the sums above.
	Prefetch Prefetch `json:"prefetch,omitzero"`
}

// Prefetch counts small objects and slices that a node fetched before anybody
// asked for them, since their region asks for them often. Each is counted when it was
// fetched, and once more when its lot is known: won, when it was asked for, which
// would have been a miss; wasted, when it left the cache without that. What is
// neither waits in the cache.
type Prefetch struct {
	Fetched      int64 `json:"fetched"`
	FetchedBytes int64 `json:"fetched_bytes"`
	Won          int64 `json:"won"`
	WonBytes     int64 `json:"won_bytes"`
	Wasted       int64 `json:"wasted"`
	WastedBytes  int64 `json:"wasted_bytes"`
}

// Add adds o to p.
func (p *Prefetch) Add(o Prefetch) {
	p.Fetched += o.Fetched
	p.FetchedBytes += o.FetchedBytes
	p.Won += o.Won
	p.WonBytes += o.WonBytes
	p.Wasted += o.Wasted
	p.WastedBytes += o.WastedBytes
}

// Histogram counts times to the first byte in LatencyBuckets buckets whose
// bounds grow by the fourth root of two from 10 us. It may be shorter than
// that; what is missing is zero.
type Histogram []int64

// LatencyBuckets is how many buckets a full Histogram has: up to 2 min.
const LatencyBuckets = 96

// LatencyBucket is the bucket of d.
func LatencyBucket(d time.Duration) int {
	us := float64(d) / float64(time.Microsecond)
	if us <= 10 {
		return 0
	}
	return min(int(math.Ceil(4*math.Log2(us/10))), LatencyBuckets-1)
}

// bucketBound is the upper bound of bucket i in milliseconds.
func bucketBound(i int) float64 { return 0.010 * math.Exp2(float64(i)/4) }

// Add counts d once.
func (h *Histogram) Add(d time.Duration) {
	i := LatencyBucket(d)
	h.grow(i + 1)
	(*h)[i]++
}

// Merge adds o to h.
func (h *Histogram) Merge(o Histogram) {
	h.grow(len(o))
	for i, n := range o {
		(*h)[i] += n
	}
}

func (h *Histogram) grow(n int) {
	for len(*h) < n {
		*h = append(*h, 0)
	}
}

// Quantile is the time in milliseconds below which the part q of what was
// counted lies, interpolated within its bucket; 0 where nothing was counted.
func (h Histogram) Quantile(q float64) float64 {
	var total int64
	for _, n := range h {
		total += n
	}
	if total == 0 {
		return 0
	}
	rank, seen := q*float64(total), 0.0
	for i, n := range h {
		if n == 0 {
			continue
		}
		if seen+float64(n) >= rank {
			low := 0.0
			if i > 0 {
				low = bucketBound(i - 1)
			}
			return low + (bucketBound(i)-low)*(rank-seen)/float64(n)
		}
		seen += float64(n)
	}
	return bucketBound(len(h) - 1)
}

// Groups of a Report besides its tiers.
const (
	ByRegion = "region"
	ByNode   = "node"
	ByBucket = "bucket"
	ByClass  = "class"
)

// ReportQuery asks for a Report.
type ReportQuery struct {
	// Window is how far back the report reaches; minutes count whole, those
	// that began before the window and the running one included.
	Window time.Duration
	// By names the groups to fill in; none means all. "tier" may be named and
	// is always there.
	By []string
}

// Reports tells how well the caches do.
type Reports interface {
	// Report adds up the counters of a window. ErrInvalid for an unknown group
	// or a window that is not positive.
	Report(ctx context.Context, q ReportQuery) (Report, error)
	// Series tells the same step by step. ErrInvalid for a window or step that
	// SeriesQuery does not allow.
	Series(ctx context.Context, q SeriesQuery) (Series, error)
}

// Report is the hit report, as /v1/cache/report answers it.
type Report struct {
	Window      string      `json:"window"`
	GeneratedAt time.Time   `json:"generated_at"`
	Tiers       []ReportRow `json:"tiers"`
	Regions     []ReportRow `json:"regions"`
	Nodes       []ReportRow `json:"nodes"`
	Buckets     []ReportRow `json:"buckets"`
	Classes     []ReportRow `json:"classes"`
}

// ReportRow is one row: a tier, or a tier within a region, node, bucket or
// class. Tiers lists edge, regional and origin, in this order and also where
// they had no requests; the groups leave out tiers that have neither requests
// nor a share nor fetched anything ahead.
type ReportRow struct {
	Tier   string `json:"tier"`
	Region string `json:"region,omitempty"`
	Node   string `json:"node,omitempty"`
	Bucket string `json:"bucket,omitempty"`
	Class  string `json:"class,omitempty"`

	Figures
}

// Figures are what the counters of a tier add up to.
type Figures struct {
	Requests    int64 `json:"requests"`
	Hits        int64 `json:"hits"`
	Misses      int64 `json:"misses"`
	Stale       int64 `json:"stale"`
	Revalidated int64 `json:"revalidated"`
	Pass        int64 `json:"pass"`
	// HitRatio is (hits + stale + revalidated) / requests.
	HitRatio     float64 `json:"hit_ratio"`
	Bytes        int64   `json:"bytes"`
	HitBytes     int64   `json:"hit_bytes"`
	ByteHitRatio float64 `json:"byte_hit_ratio"`
	// Share is the part of all client requests of the group that this tier
	// answered; the shares of a group's tiers add up to 1.
	Share     float64 `json:"share"`
	LatencyMS struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
	Prefetch Prefetch `json:"prefetch"`
}
