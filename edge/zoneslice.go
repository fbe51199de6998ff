package edge

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// wantedSlice is the slice in which the one range that a client asks for begins;
// -1 where it asks for something else, which the origin is asked for as it is. name is that of what is held.
func (v *visit) wantedSlice(name string) int64 {
	field := v.r.Header["Range"]
	if len(field) != 1 || strings.Contains(field[0], ",") || strings.Contains(field[0], "=-") {
		return -1
	}
	ranges, err := httpcache.ParseRange(field[0], 1<<62)
	if err != nil || len(ranges) != 1 {
		return -1
	}
	fs := v.n.flights
	index := ranges[0].Start / cache.SliceSize
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.isShy(fmt.Sprintf("%s\nslice %d", name, index), v.n.now()) {
		return -1
	}
	return index
}

// sliceRange is the Range field that asks for a slice.
func sliceRange(index int64) string {
	start := index * cache.SliceSize
	return "bytes=" + strconv.FormatInt(start, 10) + "-" + strconv.FormatInt(start+cache.SliceSize-1, 10)
}

// acceptSlice makes a head of a 206 that brought the slice asked for. One that
// cannot be combined with other slices leaves the flight without a head.
func (p *plan) acceptSlice(ctx context.Context, f *flight, resp *http.Response, sent, received time.Time) {
	v := p.visit
	defer resp.Body.Close()
	size, ok := fetch.SliceOf(resp.Header.Get("Content-Range"), p.index*cache.SliceSize)
	if !ok {
		return
	}
	delete(resp.Header, "Content-Range")
	if resp.Header.Get("Accept-Ranges") == "" {
		resp.Header.Set("Accept-Ranges", "bytes")
	}
	head := v.zoneHead(resp.Header, http.StatusOK, size, sent, received)
	if !head.Storable || !sliceable(head) {
		return
	}
	b, err := v.n.readSlice(ctx, resp.Body, sliceLength(size, p.index))
	if err != nil {
		f.err = fmt.Errorf("pull %s/%s: %w: %w", v.object.Bucket, v.object.Key, fetch.ErrUnavailable, err)
		return
	}
	f.head, f.sliced, f.index = head, true, p.index
	f.slice.Store(&b)
	f.shared = usable(head, received)
	v.n.put(ctx, cache.Key{Class: cache.Slice, Name: sliceName(v.object, head.VersionID, p.index)}, b)
	f.stored = v.keep(ctx, f.mark, head, f.request)
}

// readSlice reads a slice, all of it or nothing, when there is room for it.
func (n *Node) readSlice(ctx context.Context, r io.Reader, length int64) ([]byte, error) {
	if err := n.flights.acquire(ctx, n.flights.buffers, length); err != nil {
		return nil, err
	}
	defer n.flights.buffers.Release(length)
	b := make([]byte, length)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("slice broke off: %w", err)
	}
	return b, nil
}

// missingSlice asks the origin for a slice of a version that is held in part.
func (v *visit) missingSlice(ctx context.Context, h *httpcache.Head, index int64) ([]byte, error) {
	if !sliceable(h) {
		return nil, fmt.Errorf("slice %d is gone: %w", index, errVersionGone)
	}
	v.sample.Result, v.sample.Depth = tally.Miss, tally.Origin
	began := v.n.now()
	name := sliceName(v.object, h.VersionID, index)
	asked := miss{at: began, why: v.n.reasons.absent(name), slice: index}
	p, led, err := v.n.slices.Do(ctx, name, fetch.Terms{}, func(ctx context.Context, _ metadata.Seq) (*piece, error) {
		b, depth, err := v.askMissing(ctx, h, index)
		v.n.countFill("pull-slice", err)
		if err != nil {
			return nil, err
		}
		v.n.put(ctx, cache.Key{Class: cache.Slice, Name: name}, b)
		return &piece{bytes: b, depth: depth}, nil
	})
	v.took += v.n.now().Sub(began)
	if ctx.Err() == nil {
		if asked.led = led; err != nil {
			asked.result = askedFailed
		}
		v.n.reasons.missed(sliceName(v.object, h.VersionID, allSlices), asked)
	}
	if err != nil {
		return nil, err
	}
	v.sample.Depth = p.depth
	return p.bytes, nil
}

func (v *visit) askMissing(ctx context.Context, h *httpcache.Head, index int64) ([]byte, tally.Depth, error) {
	a := v.baseAsk(http.MethodGet)
	for _, name := range conditionFields {
		a.Set[name] = nil
	}
	setHeader(a.Set, "Range", sliceRange(index))
	setHeader(a.Set, "If-Range", httpcache.StrongValidator(h.Fields.Header()))
	resp, depth, err := v.ask(ctx, a)
	if err != nil {
		return nil, depth, fmt.Errorf("slice %d: %w: %w", index, fetch.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	size, ok := fetch.SliceOf(resp.Header.Get("Content-Range"), index*cache.SliceSize)
	if resp.StatusCode != http.StatusPartialContent || !ok || size != h.Size || !sameBody(resp.Header, h) {
		return nil, depth, fmt.Errorf("slice %d: status %d, %d bytes: %w", index, resp.StatusCode, size, errVersionGone)
	}
	b, err := v.n.readSlice(ctx, resp.Body, sliceLength(size, index))
	return b, depth, err
}

// sameBody reports whether a part of a body can be one of h's: not every origin that
// knows ranges knows If-Range, too. Of two validators the entity tag counts.
func sameBody(part http.Header, h *httpcache.Head) bool {
	if tag := part.Get("Etag"); tag != "" {
		return tag == h.ETag()
	}
	modified := part.Get("Last-Modified")
	return modified == "" || modified == h.Fields.Get("Last-Modified")
}
