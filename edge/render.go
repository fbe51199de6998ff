package edge

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync"
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

	// ref gives the head as it was found, and none that comes after it, so that
	// nothing of what was kept of it can be out of date.
	ref        cache.Ref
	bodyAt     int            // where the body begins, behind the encoded head
	head       httpcache.Head // without body
	validators httpcache.Validators

	// These lie together, behind target.
	fields      string // of an answer with a body
	cacheStatus string // all but the number at its end
	dated       bool   // Date is among fields

	class           string
	requests, bytes prometheus.Counter
	cell            *tally.Cell
	views           tally.Views
	viewed          bool        // it is something to look at
	won             atomic.Bool // what was fetched ahead has proved to be of use
}

// used notes that a request was answered from it, as exchange.used does.
func (e *rendering) used(n *Node) {
	if n.heat == nil {
		return
	}
	k := cache.Key{Class: cache.Head, Name: e.name}
	n.heat.note(k)
	if e.head.Ahead && !e.won.Swap(true) {
		n.ahead.won(k)
	}
}

// open returns a bucket of which everybody may read everything, from pages of
// whatever origin, or nil.
func (v *view) open(name string) *metadata.Bucket {
	b := v.buckets[name]
	if b == nil || !v.everybody(name) || !b.Pull.IsZero() || v.cors[name] != nil {
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
	held, ref, err := h.heads.Refer(x.r.Context(), cache.Key{Class: cache.Head, Name: e.name})
	if err != nil || ref == nil {
		return nil
	}
	head, err := httpcache.ParseHead(held)
	if err != nil || head.Status != http.StatusOK || head.Run != n.run {
		return nil
	}
	e.ref, e.bodyAt = ref, len(held)-len(head.Body)
	e.head = *head
	e.head.Body = nil
	e.validators = head.Validators()
	if !e.write(x) {
		return nil
	}
	e.cell = h.cells.of(n.tally, e.object.Bucket, e.class)
	if e.viewed = e.class != metadata.ClassOther; e.viewed {
		n.tally.Viewed(&e.views, e.object.Bucket, e.object.Key)
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
	cacheStatus := strings.TrimSuffix(strings.TrimRight(status, "0123456789"), "-")
	if !strings.HasSuffix(cacheStatus, "; ttl=") || cacheStatus == status {
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
	var all strings.Builder
	all.WriteString(e.target)
	if fields.Write(&all) != nil { // it takes everything
		return false
	}
	end := all.Len()
	all.WriteString(cacheStatus)
	text := all.String()
	e.target, e.fields, e.cacheStatus = text[:len(e.target)], text[len(e.target):end], text[end:]
	bucket, result := x.n.metrics.buckets.label(e.object.Bucket), tally.Hit.String()
	e.requests = x.n.metrics.requests.WithLabelValues(bucket, e.class, result)
	e.bytes = x.n.metrics.bytes.WithLabelValues(bucket, e.class, result)
	return true
}

// cells are where the answers of all renderings are counted.
type cells struct {
	mu    sync.Mutex
	known map[[2]string]*tally.Cell
}

// maxCells bounds those that are known: of more buckets than that some have two.
const maxCells = 4096

func (c *cells) of(t *tally.Tally, bucket, class string) *tally.Cell {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := [2]string{bucket, class}
	cell := c.known[k]
	if cell == nil {
		if len(c.known) >= maxCells || c.known == nil {
			c.known = map[[2]string]*tally.Cell{}
		}
		cell = t.Cell(bucket, class)
		c.known[k] = cell
	}
	return cell
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

// renderingWays is how many a set has: so many that hardly any set is asked for
// more while half of all places are free.
const renderingWays = 16

type renderingSet struct {
	tags  [renderingWays]atomic.Uint32
	ways  [renderingWays]atomic.Pointer[rendering]
	turns atomic.Uint32
}

// newRenderings sizes a table for a cache of so many bytes: of about 2 KiB for a
// rendering, at most, it takes an eighth of that, and 256 MiB at most.
func newRenderings(capacity int64) *renderings {
	sets := 8
	for sets < 1<<13 && int64(sets)*renderingWays*2048 < capacity/8 {
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
