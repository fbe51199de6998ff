package edge

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/internal/h1"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// hot answers plain hits from memory for the loop in front of net/http, as
// ServeHTTP would answer them: objects that everybody may read, whose head may be
// served as it is, and whose bytes are all there. It has no answer to all else.
type hot struct {
	n     *Node
	table *renderings
}

var _ h1.Handler = (*hot)(nil)

// Hot is the node's h1.Handler.
func (n *Node) Hot() h1.Handler {
	return &hot{n: n, table: newRenderings(n.cfg.Cache.Stats().Capacity)}
}

// hotSlices is how many slices of a body one client may keep from being freed.
// Longer ones go slice by slice, which ServeHTTP does.
const hotSlices = 4

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
	if v == nil || len(v.zoneHosts) > 0 && v.zoneHosts[pull.HostOf(string(r.Host))] != nil {
		return false // what a name of a pull zone has below it is no object
	}
	e, fresh := h.find(v, r)
	if e == nil {
		return false
	}
	// The cache is asked each time: it alone knows of purges, and what stays in
	// it depends on what is asked for.
	held, err := n.cfg.Cache.Get(context.Background(), cache.Key{Class: cache.Head, Name: e.name})
	if err != nil {
		return false
	}
	body, same := e.bodyOf(held)
	if !same {
		if fresh {
			return false // changed just now
		}
		if e = h.render(v, r); e == nil {
			return false
		}
		if body, same = e.bodyOf(held); !same {
			return false
		}
	}
	now := n.now()
	if httpcache.Decide(&e.head, now, n.lease.held()) != httpcache.Serve {
		return false
	}
	status, start, length := e.pick(r)
	switch status {
	case http.StatusNotModified, http.StatusOK, http.StatusPartialContent:
	default:
		return false
	}
	if !r.Head && status != http.StatusNotModified && length > 0 && !h.addBody(e, body, start, length, a) {
		return false
	}
	a.Status, a.Entry = status, e
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

// addBody adds length bytes of the body from start on; false if they are not all
// there.
func (h *hot) addBody(e *rendering, inline []byte, start, length int64, a *h1.Answer) bool {
	if e.head.Inline {
		return a.Add(inline[start : start+length])
	}
	first, last := start/cache.SliceSize, (start+length-1)/cache.SliceSize
	if last-first >= hotSlices {
		return false
	}
	// What slow clients keep alive is bounded for all of them together, as it is
	// in source.
	pinned := (last - first + 1) * cache.SliceSize
	if !h.n.pins.TryAcquire(pinned) {
		return false
	}
	if !h.addSlices(e, first, last, start, length, a) {
		h.n.pins.Release(pinned)
		return false
	}
	a.Pinned = pinned
	return true
}

func (h *hot) addSlices(e *rendering, first, last, start, length int64, a *h1.Answer) bool {
	for i := first; i <= last; i++ {
		b := h.n.cachedSlice(context.Background(), e.object, &e.head, i)
		if b == nil {
			return false
		}
		base := i * cache.SliceSize
		if !a.Add(b[max(0, start-base):min(int64(len(b)), start+length-base)]) {
			return false
		}
	}
	return true
}

// Done implements h1.Handler.
func (h *hot) Done(r *h1.Request, a *h1.Answer) {
	n, e := h.n, a.Entry.(*rendering)
	s := tally.Sample{
		Bucket: e.object.Bucket, Key: e.object.Key, Class: e.class, Result: tally.Hit, Bytes: a.Sent, HitBytes: a.Sent,
		FirstByte: a.First.Sub(r.Start), View: e.class != metadata.ClassOther && !r.Head && a.Status != http.StatusNotModified && a.FromStart,
	}
	n.tally.Add(a.First, &s)
	e.requests.Inc()
	e.bytes.Add(float64(a.Sent))
	n.metrics.latency[tally.Hit].Observe(s.FirstByte.Seconds())
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
	fields := e.fields
	switch a.Status {
	case http.StatusOK:
		b = append(b, "HTTP/1.1 200 OK\r\n"...)
	case http.StatusPartialContent:
		b = append(b, "HTTP/1.1 206 Partial Content\r\n"...)
	default:
		b = append(b, "HTTP/1.1 304 Not Modified\r\n"...)
		fields = e.bare
	}
	b = append(b, fields...)
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

// bodyOf returns the body inside of an encoded head, if it is that which was
// rendered. All but the body is compared: nothing of what was kept of it can be
// out of date then.
func (e *rendering) bodyOf(held []byte) (body []byte, same bool) {
	k := len(e.encoded)
	want := k
	if e.head.Inline {
		want += int(e.head.Size)
	}
	if len(held) != want || !bytes.Equal(held[:k], e.encoded) {
		return nil, false
	}
	return held[k:], true
}
