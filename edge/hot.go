package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/internal/h1"
	"meridian/metadata/tally"
)

// hot answers plain hits from memory for the loop in front of net/http, as
// ServeHTTP would answer them: objects that everybody may read, whose head may be
// served as it is, and whose bytes are all there. It has no answer to all else.
type hot struct {
	n     *Node
	heads cache.Referrer // nil: it has no answers
	table *renderings
	cells cells
}

var _ h1.Handler = (*hot)(nil)

// Hot is the node's h1.Handler.
func (n *Node) Hot() h1.Handler {
	heads, _ := n.cfg.Cache.(cache.Referrer)
	return &hot{n: n, heads: heads, table: newRenderings(n.cfg.Cache.Stats().Capacity)}
}

// hotSlices is how many slices of a body one client may keep from being freed. One
// will do where none is fetched ahead, as source does, and leaves room for twice
// as many clients.
const hotSlices = 1

// long is what an answer is made from whose body goes out slice by slice.
type long struct {
	*rendering

	next   int64 // byte of the body that comes next
	sample tally.Sample
}

// Answer implements h1.Handler.
func (h *hot) Answer(r *h1.Request, a *h1.Answer) bool {
	n := h.n
	if !n.gate.enter() {
		return false
	}
	if !h.answer(r, a) {
		n.gate.leave()
		return false
	}
	return true
}

func (h *hot) answer(r *h1.Request, a *h1.Answer) bool {
	n := h.n
	v := n.view.Load()
	if v == nil || h.heads == nil || len(v.zoneHosts) > 0 && v.zoneHosts[pull.HostOf(string(r.Host))] != nil {
		return false // what a name of a pull zone has below it is no object
	}
	e, fresh := h.find(v, r)
	if e == nil {
		return false
	}
	// The cache is asked each time: it alone knows of purges, and what stays in
	// it depends on what is asked for.
	held, ok := e.ref.Get()
	if !ok {
		if fresh {
			return false // changed just now
		}
		if e = h.render(v, r); e == nil {
			return false
		}
		if held, ok = e.ref.Get(); !ok {
			return false
		}
	}
	now := r.Now
	if n.ownTime {
		now = n.now()
	}
	if httpcache.Decide(&e.head, now, n.lease.heldAt(now)) != httpcache.Serve {
		return false
	}
	status, start, length := e.pick(r)
	switch status {
	case http.StatusNotModified, http.StatusOK, http.StatusPartialContent:
	default:
		return false
	}
	a.Entry = e
	if !r.Head && status != http.StatusNotModified && length > 0 && !h.addBody(e, held[e.bodyAt:], start, length, a) {
		return false
	}
	a.Status = status
	e.appendHead(a, r.ID, now, start, length)
	return true
}

// find returns what was rendered for a target, or renders it; fresh says that it
// did.
func (h *hot) find(v *view, r *h1.Request) (e *rendering, fresh bool) {
	e = h.table.find(r.Target)
	if e == nil {
		return h.render(v, r), true
	}
	if e.view.Load() != v {
		if v.open(e.bucket) == nil {
			return nil, false
		}
		e.view.Store(v)
	}
	return e, false
}

// addBody adds length bytes of the body from start on, or the first slices of
// them; false if they are not there.
func (h *hot) addBody(e *rendering, inline []byte, start, length int64, a *h1.Answer) bool {
	if e.head.Inline {
		return a.Add(inline[start : start+length])
	}
	// What slow clients keep alive is bounded for all of them together.
	first, end := start/cache.SliceSize, start+length
	slices := min((end-1)/cache.SliceSize-first+1, hotSlices)
	if !h.n.pins.TryAcquire(slices * cache.SliceSize) {
		return false
	}
	next := h.addSlices(e, start, end, a)
	if next < min((first+slices)*cache.SliceSize, end) {
		h.n.pins.Release(slices * cache.SliceSize)
		return false
	}
	a.Pinned = slices * cache.SliceSize
	if a.Rest = end - next; a.Rest > 0 {
		a.Entry = &long{rendering: e, next: next}
	}
	return true
}

// addSlices adds what the cache holds of the body between two bytes, up to
// hotSlices slices, and returns where that ends.
func (h *hot) addSlices(e *rendering, from, end int64, a *h1.Answer) (next int64) {
	for from < end && a.Pieces() < hotSlices {
		index := from / cache.SliceSize
		b := h.n.cachedSlice(context.Background(), e.object, &e.head, index)
		base := index * cache.SliceSize
		if b == nil || !a.Add(b[from-base:min(int64(len(b)), end-base)]) {
			break
		}
		h.n.usedSlice(e.object, &e.head, index, true)
		from = min(base+int64(len(b)), end)
	}
	return from
}

// More implements h1.Handler.
func (h *hot) More(a *h1.Answer) bool {
	l := a.Entry.(*long)
	next := h.addSlices(l.rendering, l.next, l.next+a.Rest, a)
	if next == l.next {
		return false
	}
	a.Rest -= next - l.next
	l.next = next
	return true
}

// Finish implements h1.Handler: it fetches what is missing, as ServeHTTP does.
func (h *hot) Finish(r *h1.Request, a *h1.Answer, w h1.Writer) error {
	n, l := h.n, a.Entry.(*long)
	n.pins.Release(a.Pinned) // source takes its own
	a.Pinned = 0
	x := &exchange{n: n, w: &written{Writer: w}, r: &http.Request{Method: http.MethodGet}, start: r.Start, object: l.object}
	src := x.source(&found{head: &l.head}, httpcache.Range{Start: l.next, Length: a.Rest})
	ctx, stop := context.WithCancel(context.Background())
	defer src.close()
	defer stop()
	out := x.writer()
	err := src.write(ctx, out, l.next, a.Rest)
	out.done()
	l.sample = x.sample
	a.Sent += x.sample.Bytes
	if err != nil && !errors.Is(err, errClientGone) {
		n.log.Warn("answer cut short", "bucket", l.object.Bucket, "key", l.object.Key, "err", err)
	}
	return err
}

// written is a ResponseWriter for what follows a header that is out.
type written struct{ h1.Writer }

func (*written) Header() http.Header { return http.Header{} }
func (*written) WriteHeader(int)     {}

// Done implements h1.Handler.
func (h *hot) Done(r *h1.Request, a *h1.Answer) {
	n := h.n
	s := tally.Sample{Result: tally.Hit, Bytes: a.Sent, HitBytes: a.Sent, FirstByte: a.First.Sub(r.Start)}
	e, ok := a.Entry.(*rendering)
	if !ok {
		l := a.Entry.(*long)
		e = l.rendering
		s.Result, s.Depth = l.sample.Result, l.sample.Depth
		s.HitBytes -= l.sample.Bytes - l.sample.HitBytes
	}
	e.cell.Add(r.Worker, a.First, &s)
	if e.viewed && !r.Head && a.Status != http.StatusNotModified && a.FromStart {
		e.views.Add()
	}
	if s.Result == tally.Hit {
		e.requests.Inc()
		e.bytes.Add(float64(a.Sent))
		n.metrics.latency[tally.Hit].Observe(s.FirstByte.Seconds())
	} else {
		s.Bucket, s.Class = e.object.Bucket, e.class
		n.metrics.count(&s)
	}
	e.used(n)
	n.pins.Release(a.Pinned)
	n.gate.leave()
}

// pick tells how a request is answered: with which status, and which part of
// the body.
func (e *rendering) pick(r *h1.Request) (status int, start, length int64) {
	size := e.head.Size
	if r.Plain() {
		return http.StatusOK, 0, size
	}
	method := http.MethodGet
	if r.Head {
		method = http.MethodHead
	}
	status, useRange := httpcache.CheckConditions(method, conditions(r), e.validators)
	switch {
	case status != 0:
		return status, 0, 0
	case r.Range == nil || !useRange || size == 0 || r.Head:
		return http.StatusOK, 0, size
	}
	ranges, err := httpcache.ParseRange(string(r.Range), size)
	switch {
	case err != nil, len(ranges) > 1:
		return 0, 0, 0 // for ServeHTTP
	case len(ranges) == 0:
		return http.StatusOK, 0, size
	}
	return http.StatusPartialContent, ranges[0].Start, ranges[0].Length
}

func conditions(r *h1.Request) http.Header {
	h := make(http.Header, 2)
	for _, f := range [...]struct {
		name  string
		value []byte
	}{
		{"If-Match", r.IfMatch}, {"If-None-Match", r.IfNoneMatch}, {"If-Modified-Since", r.IfModifiedSince},
		{"If-Unmodified-Since", r.IfUnmodifiedSince}, {"If-Range", r.IfRange}, {"Range", r.Range},
	} {
		if f.value != nil {
			h[f.name] = []string{string(f.value)}
		}
	}
	return h
}

// appendHead writes the head of an answer: what was rendered, and what differs
// from one to the next.
func (e *rendering) appendHead(a *h1.Answer, id []byte, now time.Time, start, length int64) {
	b := a.Head
	switch a.Status {
	case http.StatusOK:
		b = append(append(b, "HTTP/1.1 200 OK\r\n"...), e.fields...)
	case http.StatusPartialContent:
		b = append(append(b, "HTTP/1.1 206 Partial Content\r\n"...), e.fields...)
	default:
		b = e.appendBare(append(b, "HTTP/1.1 304 Not Modified\r\n"...))
	}
	if !e.dated {
		b = append(now.UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	b = append(append(append(b, "X-Amz-Request-Id: "...), id...), "\r\nAge: "...)
	b = strconv.AppendInt(b, int64(e.head.CurrentAge(now)/time.Second), 10)
	b = append(b, "\r\nCache-Status: "...)
	from := len(b)
	b = append(b, e.cacheStatus...)
	var own httpcache.Status
	own.SetTTL(e.head.TTL(now))
	b = strconv.AppendInt(b, own.TTL, 10)
	to := len(b)
	b = append(b, "\r\n"...)
	if a.Status == http.StatusPartialContent {
		b = append(b, "Content-Range: bytes "...)
		b = strconv.AppendInt(b, start, 10)
		b = strconv.AppendInt(append(b, '-'), start+length-1, 10)
		b = append(strconv.AppendInt(append(b, '/'), e.head.Size, 10), "\r\n"...)
	}
	if a.Status != http.StatusNotModified {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
	}
	a.Head, a.Cache, a.FromStart = b, b[from:to:to], start == 0
}

// appendBare writes the fields of an answer without a body.
func (e *rendering) appendBare(b []byte) []byte {
	for line := range strings.Lines(e.fields) {
		if !strings.HasPrefix(line, "Content-Type:") && !strings.HasPrefix(line, "Content-Encoding:") {
			b = append(b, line...)
		}
	}
	return b
}
