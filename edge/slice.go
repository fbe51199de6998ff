package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// errVersionGone says that a version which a head speaks of cannot be had any
// more: it was overwritten, and its bytes freed.
var errVersionGone = errors.New("version is gone")

// piece is a slice that was fetched.
type piece struct {
	bytes []byte
	depth tally.Depth
	held  bool // it was there after all
}

// sliceName is the cache key of a slice.
func sliceName(o purge.Object, version string, index int64) string {
	return httpcache.SliceKey(o.Bucket, o.Key, version, index)
}

// sliceLength is how long slice index of an object of size bytes is.
func sliceLength(size, index int64) int64 {
	return min(cache.SliceSize, size-index*cache.SliceSize)
}

// cachedSlice returns a slice if the node holds it.
func (n *Node) cachedSlice(ctx context.Context, o purge.Object, h *httpcache.Head, index int64) []byte {
	if h.Inline && index == 0 {
		return h.Body
	}
	b, err := n.cfg.Cache.Get(ctx, cache.Key{Class: cache.Slice, Name: sliceName(o, h.VersionID, index)})
	if err != nil || int64(len(b)) != sliceLength(h.Size, index) {
		return nil
	}
	return b
}

// fetchSlice asks upstream for a slice, together with everybody else who wants
// it.
func (n *Node) fetchSlice(ctx context.Context, o purge.Object, h *httpcache.Head, index int64, how manner) (*piece, error) {
	name := sliceName(o, h.VersionID, index)
	via := n.viaPeer(how.fromPeer, peerKey(o, h.VersionID, index))
	asked := miss{at: n.now(), why: n.reasons.absent(name), slice: index}
	p, led, err := n.slices.Do(ctx, fillKey(name, via), n.sliceTerms(o.Bucket, via), func(ctx context.Context, _ metadata.Seq) (*piece, error) {
		// The one before may have ended since the caller looked.
		if b := n.cachedSlice(ctx, o, h, index); b != nil {
			return &piece{bytes: b, held: true}, nil
		}
		p, err := n.askSlice(ctx, o, h, index, via, how.ahead)
		n.countFill("slice", err)
		if err != nil {
			return nil, err
		}
		if h.Storable {
			n.keepEarly(ctx, how.ahead, cache.Key{Class: cache.Slice, Name: name}, p.bytes, o, h, int64(len(p.bytes)))
		}
		return p, nil
	})
	if how.ahead == onDemand && ctx.Err() == nil && (err != nil || !p.held) {
		asked.led = led
		if err != nil {
			asked.result = askedFailed
		} else if !h.Storable {
			asked.why = bypassed
		}
		n.reasons.missed(sliceName(o, h.VersionID, allSlices), asked)
	}
	return p, err
}

// sliceTerms are those of a slice of a bucket: it waits for its turn.
func (n *Node) sliceTerms(bucket string, via bool) fetch.Terms {
	turns := n.turns
	if via {
		turns = n.peerTurns
	}
	return fetch.Terms{Turn: func(ctx context.Context) (func(bool), error) { return turns.Take(ctx, bucket) }}
}

func (n *Node) askSlice(ctx context.Context, o purge.Object, h *httpcache.Head, index int64, via bool, why earliness) (*piece, error) {
	r := sliceRequest(n, o, h, index, nil)
	r.Ahead = why != onDemand
	resp, err := n.fetch(ctx, peerKey(o, h.VersionID, index), via, r)
	if err == nil {
		err = checkSlice(resp, h, index)
	}
	if err != nil {
		return nil, fmt.Errorf("slice %d: %w", index, err)
	}
	return &piece{bytes: resp.Body, depth: depthOf(resp.Header)}, nil
}

func sliceRequest(n *Node, o purge.Object, h *httpcache.Head, index int64, customer http.Header) fetch.Request {
	return fetch.Request{
		Bucket: o.Bucket, Key: o.Key, Want: h.VersionID, Customer: customer,
		Offset: index * cache.SliceSize, Length: sliceLength(h.Size, index), Applied: n.lease.seq(),
	}
}

// checkSlice accepts the answer that is a slice of h's version.
func checkSlice(resp *fetch.Response, h *httpcache.Head, index int64) error {
	switch {
	case resp.Status == http.StatusNotFound, resp.Status == http.StatusRequestedRangeNotSatisfiable,
		resp.Header.Get(hop.Version) != h.VersionID:
		return fmt.Errorf("%s: %w", h.VersionID, errVersionGone)
	case resp.Status != http.StatusPartialContent && resp.Status != http.StatusOK,
		resp.Size != h.Size, int64(len(resp.Body)) != sliceLength(h.Size, index):
		return fmt.Errorf("%s: %w: status %d, %d of %d bytes", h.VersionID, fetch.ErrBadAnswer, resp.Status, len(resp.Body), resp.Size)
	}
	return nil
}

// put offers a value to the cache. One that is declined is fetched again.
func (n *Node) put(ctx context.Context, k cache.Key, v []byte) {
	if err := n.cfg.Cache.Put(ctx, k, v); err != nil {
		n.log.DebugContext(ctx, "cache put", "name", k.Name, "err", err)
	}
}

func (n *Node) countFill(kind string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	n.metrics.fills.WithLabelValues(kind, outcome).Inc()
}
