package metadata

import "time"

// Reasons for which a cache node had to ask the next tier about a URL.
const (
	// MissCold: it had never held it, or so long ago that it has forgotten.
	MissCold = "cold"
	// MissExpired: what it held had passed its freshness.
	MissExpired = "expired"
	// MissEvicted: it had to make room for others.
	MissEvicted = "evicted"
	// MissPurged: a purge took it away, or a soft one demanded to ask again.
	MissPurged = "purged"
	// MissOverwritten: it was written or deleted since.
	MissOverwritten = "overwritten"
	// MissBypassed: what upstream answers may not be kept.
	MissBypassed = "bypassed"
	// MissCollapsed: another request had asked already, and this one waited for
	// the same answer.
	MissCollapsed = "collapsed"
	// MissRevalidated: it demands to be asked about before each use (no-cache).
	MissRevalidated = "revalidated"
	// MissNoLease: the node was not sure to have heard of every change.
	MissNoLease = "no-lease"
	// MissVaried: what it held is for requests with other header fields (Vary).
	MissVaried = "varied"
	// MissDemanded: the request itself wanted a newer answer (no-cache, max-age).
	MissDemanded = "demanded"
)

// How a request that asked the next tier went on.
const (
	AskedMiss        = "miss"        // the answer came from there
	AskedRevalidated = "revalidated" // what was held was confirmed
	AskedFailed      = "failed"      // nobody gave a usable answer
)

// Holding is what one cache node says of a URL at a moment: what it holds of it,
// and why it last had to ask.
type Holding struct {
	Node   string `json:"node"`
	Tier   string `json:"tier"`
	Region string `json:"region"`
	// Lease says whether the node is sure to have heard of every change, without
	// which it asks the next tier about each head.
	Lease bool `json:"lease"`
	// Head is missing where none is held.
	Head *HeldHead `json:"head,omitempty"`
	// Slices are of the version that the head speaks of; missing where there is
	// no head with a body.
	Slices *HeldSlices `json:"slices,omitempty"`
	// Miss is the last request that had to ask for the head; SliceMiss likewise
	// for a slice of the version. Only so many are remembered, and none over a
	// restart.
	Miss      *Miss `json:"miss,omitempty"`
	SliceMiss *Miss `json:"slice_miss,omitempty"`
	// Variants are, of a pull zone, all answers held for the URL, the newest
	// first, of which Head and Slices are; the first fifty.
	Variants []HeldVariant `json:"variants,omitempty"`
	// Queue is there where slices of the bucket, of this object or others, wait for
	// their turn to be asked for: the next tier answers more slowly than clients want
	// what is not held.
	Queue *Queue `json:"queue,omitempty"`
}

// Queue tells how many slices of a bucket a node asks for at this moment, and how
// many wait for some of those to be answered.
type Queue struct {
	Asking  int `json:"asking"`
	Waiting int `json:"waiting"`
}

// HeldVariant is an answer of a pull zone as a node holds it.
type HeldVariant struct {
	// Scheme is that of the requests it is for, and Host the name of the zone that
	// they were for, if the origin is told of it.
	Scheme string `json:"scheme"`
	Host   string `json:"host,omitempty"`
	// Fields are those of Vary, each with what requests have there that the
	// answer is for ("Accept-Encoding=br,gzip"), alone where they lack it. Of
	// Cookie and Authorization the value is not told.
	Fields    []string    `json:"fields,omitempty"`
	Head      HeldHead    `json:"head"`
	Slices    *HeldSlices `json:"slices,omitempty"`
	Miss      *Miss       `json:"miss,omitempty"`
	SliceMiss *Miss       `json:"slice_miss,omitempty"`
}

// HeldHead is a head as a node holds it.
type HeldHead struct {
	Status  int    `json:"status"` // 404 says that there is no such object
	Version string `json:"version,omitempty"`
	ETag    string `json:"etag,omitempty"`
	Size    int64  `json:"size"`
	// Inline says that the body rides in the head.
	Inline bool `json:"inline"`
	// Age is since the origin answered, over all tiers; TTL is how long it stays
	// fresh, less than zero where it is not.
	Age Duration `json:"age"`
	TTL Duration `json:"ttl"`
	// Next is what becomes of the next request: serve, serve-stale,
	// revalidate-or-serve, revalidate.
	Next string `json:"next"`
}

// HeldSlices are the slices of a version that a node holds.
type HeldSlices struct {
	Total int64 `json:"total"`
	Held  int64 `json:"held"`
	// Ranges are those held, first and last, in order; only the first hundred
	// ranges are told.
	Ranges [][2]int64 `json:"ranges"`
}

// Miss is a request that had to ask the next tier.
type Miss struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
	// Cause is why the request that a collapsed one waited for had asked.
	Cause  string `json:"cause,omitempty"`
	Result string `json:"result"`
	Slice  *int64 `json:"slice,omitempty"` // which one was wanted
}

// Explanation is what all cache nodes say of a URL.
type Explanation struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"version_id,omitempty"` // that the URL names
	// Pull is the origin asked first where the bucket is a pull zone, which knows
	// no versions, and Query what followed the path in the URL.
	Pull  string `json:"pull,omitempty"`
	Query string `json:"query,omitempty"`
	// Version and Size are of the version that the URL means now, by the
	// catalogue; missing where there is none.
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size,omitempty"`
	// Nodes are the live nodes that answered, Silent those that did not.
	Nodes  []Holding    `json:"nodes"`
	Silent []SilentNode `json:"silent"`
}

// SilentNode is a node that is live but did not answer.
type SilentNode struct {
	Node   string `json:"node"`
	Tier   string `json:"tier"`
	Region string `json:"region"`
	Error  string `json:"error"`
}
