package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/internal/httpserve"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// zoneBody is the body of an answer: arriving, or held in slices.
type zoneBody struct {
	visit *visit
	head  *httpcache.Head
	// flight that brings it, or nil, and who reads that.
	flight     *flight
	reader     *pull.Reader
	own        http.Header // fields for this client alone
	given      []byte      // a slice that is had already
	givenIndex int64
	givenHeld  bool   // since before the request came
	whole      *whole // all slices, of what could not be had again

	behind bool   // it has missed something of the stream
	pinned int64  // bytes of Node.pins
	copy   []byte // nil unless pieces are copied
}

// whole is a body that cannot be asked for by the slice, and is being sent.
type whole struct {
	version string
	size    int64
	parts   [][]byte
	readers int
}

// errCrowded says that slow clients keep alive as much as they may.
var errCrowded = errors.New("too much is held for slow clients")

// holdWhole keeps all of a body, once for all who read it. The caller lets go.
func (n *Node) holdWhole(ctx context.Context, o purge.Object, h *httpcache.Head) (*whole, error) {
	if w := n.flights.joinWhole(h.VersionID, nil); w != nil {
		return w, nil
	}
	if !n.pins.TryAcquire(h.Size) {
		return nil, errCrowded
	}
	w := &whole{version: h.VersionID, size: h.Size}
	for index := int64(0); index*cache.SliceSize < h.Size; index++ {
		part := n.cachedSlice(ctx, o, h, index)
		if part == nil {
			n.pins.Release(h.Size)
			return nil, fmt.Errorf("slice %d is gone: %w", index, errVersionGone)
		}
		w.parts = append(w.parts, part)
	}
	if first := n.flights.joinWhole(h.VersionID, w); first != w {
		n.pins.Release(h.Size)
		return first, nil
	}
	return w, nil
}

// joinWhole returns the body of a version that is held, which fresh becomes if
// there is none.
func (fs *flights) joinWhole(version string, fresh *whole) *whole {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	w := fs.wholes[version]
	if w == nil {
		if w = fresh; w == nil {
			return nil
		}
		fs.wholes[version] = w
	}
	w.readers++
	return w
}

func (n *Node) letGo(w *whole) {
	fs := n.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if w.readers--; w.readers == 0 {
		delete(fs.wholes, w.version)
		n.pins.Release(w.size)
	}
}

// pin takes the right to keep slices alive while the client takes them, as source
// does for objects, or has pieces of them copied.
func (b *zoneBody) pin() {
	f := b.flight
	if b.head.Inline || b.whole != nil || f != nil && f.body != nil || b.arriving() && !b.behind && !sliceable(b.head) {
		return // held already, or nothing
	}
	need := int64(2 * cache.SliceSize)
	if b.head.Size >= 0 {
		need = min(need, b.head.Size)
	}
	if need <= copied {
		return
	}
	if b.visit.n.pins.TryAcquire(need) {
		b.pinned = need
		return
	}
	b.copy = make([]byte, copied)
	b.visit.n.metrics.copied.Inc()
}

// close ends what hold and pin began.
func (b *zoneBody) close() {
	if b.visit == nil {
		return
	}
	b.visit.n.pins.Release(b.pinned)
	if b.whole != nil {
		b.visit.n.letGo(b.whole)
	}
}

// hold makes sure, before the header is sent, that the body is there from offset
// on as far as it takes: what cannot be asked for again, all of it; of what can,
// the first slice, which tells whether the origin still has this version.
func (b *zoneBody) hold(ctx context.Context, offset int64) error {
	if b.flight != nil && !b.flight.revalidated || b.head.Inline || b.head.Size <= 0 {
		return nil
	}
	if sliceable(b.head) {
		index := offset / cache.SliceSize
		if b.given = b.visit.n.cachedSlice(ctx, b.visit.object, b.head, index); b.given != nil {
			b.givenIndex, b.givenHeld = index, true
			return nil
		}
		part, err := b.visit.missingSlice(ctx, b.head, index)
		b.given, b.givenIndex = part, index
		return err
	}
	w, err := b.visit.n.holdWhole(ctx, b.visit.object, b.head)
	b.whole = w
	return err
}

// arriving reports whether the body is in the stream of a flight.
func (b *zoneBody) arriving() bool {
	return b.flight != nil && !b.flight.sliced && !b.flight.revalidated && !b.flight.held && b.flight.body == nil
}

// read returns bytes from offset on, and whether they were held before.
func (b *zoneBody) read(ctx context.Context, offset int64) (part []byte, held bool, err error) {
	if b.arriving() {
		part, err = b.reader.Read(ctx, offset)
		if !errors.Is(err, pull.ErrBehind) {
			return part, false, err
		}
		if !b.behind {
			if b.behind = true; b.pinned == 0 && b.copy == nil {
				b.pin()
			}
		}
	}
	index := offset / cache.SliceSize
	switch {
	case b.given != nil && index == b.givenIndex:
		if part, held = b.given, b.givenHeld; b.copy != nil {
			b.given = nil // not kept beside the copy
			if b.flight != nil {
				b.flight.slice.Store(nil)
			}
		}
	case b.whole != nil:
		part, held = b.whole.parts[index], true
	default:
		h := b.head
		if held = true; h.Size < 0 && b.flight != nil { // of slices that are behind, all but the last are whole
			arrived := *h
			h, arrived.Size = &arrived, b.flight.stream.Len()
		}
		if part = b.visit.n.cachedSlice(ctx, b.visit.object, h, index); part == nil {
			held = false
			if part, err = b.visit.missingSlice(ctx, b.head, index); err != nil {
				return nil, false, err
			}
		}
	}
	if offset -= index * cache.SliceSize; offset >= int64(len(part)) {
		return nil, false, fmt.Errorf("slice %d is too short: %w", index, errVersionGone)
	}
	return part[offset:], held, nil
}

// write sends length bytes from offset on; all there are where length is negative.
func (b *zoneBody) write(ctx context.Context, out *clientWriter, offset, length int64) error {
	for end := offset + length; length < 0 || offset < end; {
		part, held, err := b.read(ctx, offset)
		if length < 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if length >= 0 {
			part = part[:min(int64(len(part)), end-offset)]
		}
		if b.copy != nil {
			part = b.copy[:copy(b.copy, part)]
		}
		if err := out.write(part, held); err != nil {
			return err
		}
		if offset += int64(len(part)); b.arriving() && len(part) < copyBuffer && (length < 0 || offset < end) {
			_ = out.ctrl.Flush() // the origin has no more for now
		}
	}
	return nil
}

// answerZone sends an answer of the zone, or as much of it as the request's
// conditions and ranges want.
func (v *visit) answerZone(ctx context.Context, h *httpcache.Head, status httpcache.Status, body *zoneBody) error {
	defer body.close()
	v.sample.Class = metadata.ClassOf(metadata.MediaType(h.Fields.Get("Content-Type"), v.target.Key))
	code := h.Status
	var ranges []httpcache.Range
	if code == http.StatusOK && (h.Storable || len(v.r.Header["Range"]) == 0) {
		condition, useRange := httpcache.CheckConditions(v.r.Method, v.r.Header, zoneValidators(h))
		if condition != 0 {
			v.describeZone(h, status, body)
			return v.sendEmpty(condition)
		}
		if field := v.r.Header["Range"]; len(field) == 1 && useRange && h.Size > 0 {
			var err error
			if ranges, err = httpcache.ParseRange(field[0], h.Size); err != nil {
				return errRange(h.Size)
			}
		}
	}
	if v.r.Method == http.MethodGet {
		var start int64
		if len(ranges) > 0 {
			start = ranges[0].Start
		}
		if err := body.hold(ctx, start); err != nil {
			return err
		}
		if status.Hit && v.sample.Result == tally.Miss {
			status.Hit, status.HasTTL, status.Forward, status.Detail = false, false, httpcache.ForwardPartial, sliceMissing
		}
	}
	v.describeZone(h, status, body)
	return v.sendZone(ctx, code, h, ranges, body)
}

// zoneValidators are what conditions are compared with. An answer without
// Last-Modified was made no later than its Date (RFC 9111, section 4.3.2).
func zoneValidators(h *httpcache.Head) httpcache.Validators {
	c := h.Validators()
	if c.LastModified.IsZero() {
		c.LastModified = c.Date
	}
	return c
}

// describeZone sets the header of an answer.
func (v *visit) describeZone(h *httpcache.Head, status httpcache.Status, body *zoneBody) {
	to := v.w.Header()
	if v.hopped {
		to.Del(httpserve.RequestIDHeader) // not ours to the client, but the origin's if any
	}
	h.Fields.CopyTo(to)
	maps.Copy(to, body.own)
	if age := h.CurrentAge(v.n.now()); body.flight == nil || age >= time.Second || status.Collapsed {
		to.Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	}
	if h.Fields.Get("Content-Type") == "" {
		to["Content-Type"] = nil // none guessed by net/http
	}
	to.Set("Cache-Status", httpcache.AppendStatus(h.Fields.Values("Cache-Status"), status))
	to["Via"] = append(h.Fields.Values("Via"), "1.1 meridian")
	if v.hopped {
		to.Set(hop.Zone, hop.ZoneAnswer)
		for name := range body.own {
			to.Add(hop.ZoneOwn, name)
		}
		return
	}
	v.tell(to)
	v.debugZone(to)
}

func (v *visit) sendEmpty(status int) error {
	h := v.w.Header()
	h["Content-Type"] = nil
	h.Del("Content-Encoding")
	v.headerOut()
	v.w.WriteHeader(status)
	return nil
}

func (v *visit) sendZone(ctx context.Context, code int, h *httpcache.Head, ranges []httpcache.Range, body *zoneBody) error {
	to, length := v.w.Header(), h.Size
	var parts *httpcache.Multipart
	switch len(ranges) {
	case 0:
		ranges = []httpcache.Range{{Start: 0, Length: h.Size}}
	case 1:
		code, length = http.StatusPartialContent, ranges[0].Length
		to.Set("Content-Range", ranges[0].ContentRange(h.Size))
	default:
		parts = httpcache.NewMultipart(ranges, to.Get("Content-Type"), h.Size)
		code, length = http.StatusPartialContent, parts.Length
		to.Set("Content-Type", parts.ContentType())
	}
	bare := code == http.StatusNoContent || code == http.StatusNotModified
	if length >= 0 && !bare {
		to.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	v.headerOut()
	v.w.WriteHeader(code)
	if bare || v.r.Method == http.MethodHead {
		return nil
	}
	out := v.writer()
	defer out.done()
	body.pin()
	if f := body.flight; f != nil && f.body != nil {
		return out.copy(f.body)
	}
	if parts != nil && body.reader != nil {
		body.reader.Keep() // they may go back
	}
	for i, r := range ranges {
		if parts != nil {
			if err := out.write([]byte(parts.Headers[i]), false); err != nil {
				return err
			}
		}
		if err := body.write(ctx, out, r.Start, r.Length); err != nil {
			return err
		}
	}
	if parts != nil {
		return out.write([]byte(parts.End), false)
	}
	return nil
}

// copyBuffer is how much of a body that is not kept is in memory at once.
const copyBuffer = 32 << 10

// copy sends what r has, as it comes.
func (c *clientWriter) copy(r io.Reader) error {
	buf := make([]byte, copyBuffer)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if err := c.write(buf[:n], false); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n < len(buf) {
			_ = c.ctrl.Flush() // the origin has no more for now
		}
	}
}

// writeInterim hands an interim answer on, but to a client of HTTP/1.0, which knows
// of none (RFC 9110, section 15.2).
func (v *visit) writeInterim(i interim) {
	if !v.r.ProtoAtLeast(1, 1) {
		return
	}
	to := v.w.Header()
	kept := to.Clone()
	clear(to)
	httpcache.RemoveHopByHop(i.header)
	for name, values := range i.header {
		to[name] = values
	}
	v.w.WriteHeader(i.status)
	clear(to)
	for name, values := range kept {
		to[name] = values
	}
}
