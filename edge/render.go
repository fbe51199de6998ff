package edge

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/internal/h1"
	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// rendering is the answer to a target, written out as far as it is always the
// same. It holds no body, so that it keeps nothing alive that the cache has
// dropped.
type rendering struct {
	target string // as in the request line
	bucket string
	name   string // of the head
	object purge.Object
	view   atomic.Pointer[view] // that lets everybody read the bucket

	encoded    []byte         // the head as it was found, without body
	head       httpcache.Head // likewise
	validators httpcache.Validators

	fields, bare []byte // of an answer with a body, and of a 304
	dated        bool   // Date is among them
	cacheStatus  string // all but the number at its end

	class           string
	requests, bytes prometheus.Counter
}

// open returns a bucket of which everybody may read everything, from pages of
// whatever origin, or nil.
func (v *view) open(name string) *metadata.Bucket {
	b := v.buckets[name]
	if b == nil || b.Visibility != metadata.PublicRead || !b.Pull.IsZero() || metadata.IsSystemBucket(name) || v.cors[name] != nil {
		return nil
	}
	return b
}

// render writes out the answer to the target of r; nil if hot has none. It asks
// what ServeHTTP asks, so that both say the same.
func (h *hot) render(v *view, r *h1.Request) *rendering {
	n := h.n
	if n.cfg.Tier != metadata.TierEdge || bytes.ContainsAny(r.Target, "?#") || bytes.HasPrefix(r.Target, []byte("//")) {
		return nil
	}
	target := string(r.Target)
	u, err := url.ParseRequestURI(target)
	if err != nil || u.EscapedPath() != target {
		return nil
	}
	x := &exchange{n: n, r: &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}, query: url.Values{}, start: r.Start}
	if x.object, err = parseObject(x.r); err != nil {
		return nil
	}
	if x.bucket = v.open(x.object.Bucket); x.bucket == nil {
		return nil
	}
	e := &rendering{target: target, bucket: x.object.Bucket, object: x.object, name: headName(x.object, "")}
	e.view.Store(v)
	held, err := n.cfg.Cache.Get(x.r.Context(), cache.Key{Class: cache.Head, Name: e.name})
	if err != nil {
		return nil
	}
	head, err := httpcache.ParseHead(held)
	if err != nil || head.Status != http.StatusOK || head.Run != n.run {
		return nil
	}
	e.encoded = bytes.Clone(held[:len(held)-len(head.Body)])
	e.head = *head
	e.head.Body = nil
	e.validators = head.Validators()
	if !e.write(x) {
		return nil
	}
	h.table.keep(e)
	return e
}

// write describes the object as respondBody does, and sets apart what changes
// from answer to answer.
func (e *rendering) write(x *exchange) bool {
	to := &described{header: http.Header{}}
	x.w = to
	x.allowOrigin()
	x.describe(&found{name: e.name, head: &e.head, result: tally.Hit}, true)
	fields := to.header
	if fields.Get("Content-Type") == "" {
		return false // net/http looks at the body for one
	}
	if len(fields["Cache-Status"]) != 1 {
		return false
	}
	status := fields.Get("Cache-Status")
	e.cacheStatus = strings.TrimRight(status, "0123456789")
	e.cacheStatus = strings.TrimSuffix(e.cacheStatus, "-")
	if !strings.HasSuffix(e.cacheStatus, "; ttl=") || e.cacheStatus == status {
		return false
	}
	for _, name := range []string{"Age", "Cache-Status", "Content-Length", "Content-Range", httpserve.RequestIDHeader} {
		fields.Del(name)
	}
	for _, name := range []string{"Connection", "Transfer-Encoding", "Trailer"} {
		if len(fields[name]) > 0 {
			return false
		}
	}
	e.dated = len(fields["Date"]) > 0
	e.class = metadata.ClassOf(metadata.MediaType(x.contentType(&e.head), e.object.Key))
	var whole, bare bytes.Buffer
	if fields.Write(&whole) != nil { // a buffer takes everything
		return false
	}
	fields.Del("Content-Type")
	fields.Del("Content-Encoding")
	if fields.Write(&bare) != nil {
		return false
	}
	e.fields, e.bare = whole.Bytes(), bare.Bytes()
	bucket, result := x.n.metrics.buckets.label(e.object.Bucket), tally.Hit.String()
	e.requests = x.n.metrics.requests.WithLabelValues(bucket, e.class, result)
	e.bytes = x.n.metrics.bytes.WithLabelValues(bucket, e.class, result)
	return true
}

// described takes the header of an answer that is not sent.
type described struct{ header http.Header }

func (d *described) Header() http.Header         { return d.header }
func (d *described) Write(p []byte) (int, error) { return len(p), nil }
func (d *described) WriteHeader(int)             {}

// renderings is a table of bounded size. What is asked for by many targets at
// once pushes others out, which are then rendered again.
type renderings struct {
	seed maphash.Seed
	sets []renderingSet // a power of two
}

const renderingWays = 8

type renderingSet struct {
	tags  [renderingWays]atomic.Uint32
	ways  [renderingWays]atomic.Pointer[rendering]
	turns atomic.Uint32
}

// newRenderings sizes a table for a cache of so many bytes: of about 2 KiB for a
// rendering it takes a sixteenth of that, and 128 MiB at most.
func newRenderings(capacity int64) *renderings {
	sets := 16
	for sets < 1<<13 && int64(sets)*renderingWays*2048 < capacity/16 {
		sets *= 2
	}
	return &renderings{seed: maphash.MakeSeed(), sets: make([]renderingSet, sets)}
}

func (t *renderings) find(target []byte) *rendering {
	hash := maphash.Bytes(t.seed, target)
	set, tag := &t.sets[hash&uint64(len(t.sets)-1)], uint32(hash>>32)
	for i := range set.tags {
		if set.tags[i].Load() != tag {
			continue
		}
		if e := set.ways[i].Load(); e != nil && e.target == string(target) {
			return e
		}
	}
	return nil
}

// keep puts e in the place of an older one of its target, or of the one whose
// turn it is.
func (t *renderings) keep(e *rendering) {
	hash := maphash.String(t.seed, e.target)
	set, tag := &t.sets[hash&uint64(len(t.sets)-1)], uint32(hash>>32)
	at := -1
	for i := range set.ways {
		old := set.ways[i].Load()
		if old != nil && old.target == e.target {
			at = i
			break
		}
		if old == nil && at < 0 {
			at = i
		}
	}
	if at < 0 {
		at = int(set.turns.Add(1) % renderingWays)
	}
	set.tags[at].Store(tag)
	set.ways[at].Store(e)
}
