package edge

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/metadata/tally"
)

// customerPrefix begins the headers by which a customer sends the key of an object
// (SSE-C).
const customerPrefix = "X-Amz-Server-Side-Encryption-Customer-"

// encryptedField tells of an object that the origin keeps encrypted.
const encryptedField = "X-Amz-Server-Side-Encryption"

// customerKey is what of r's headers is a customer's key; nil where none is.
func customerKey(r *http.Request) http.Header {
	var key http.Header
	for name, values := range r.Header {
		if strings.HasPrefix(name, customerPrefix) {
			if key == nil {
				key = http.Header{}
			}
			key[name] = values
		}
	}
	return key
}

// findWithKey asks for an object with a customer's key. Nothing of the answer is
// kept or given to anybody else, and nothing that is held is looked at: whether
// the key is the right one, only the origin can tell.
func (x *exchange) findWithKey(ctx context.Context) (*found, error) {
	f := &found{name: headName(x.object, x.versionID), result: tally.Pass, forward: httpcache.ForwardBypass, led: true}
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	j := x.job(f)
	j.want = x.want
	began := x.n.now()
	got, err := j.askWithKey(ctx, x.customer)
	x.took += x.n.now().Sub(began)
	x.n.countFill("head", err)
	x.sample.Result, x.sample.Depth = tally.Pass, tally.Origin
	if err != nil {
		return nil, err
	}
	f.head, f.filled = got.head, got
	return f, nil
}

// askWithKey is ask for one request alone.
func (j *job) askWithKey(ctx context.Context, customer http.Header) (*filled, error) {
	req := fetch.Request{
		Head: j.bare, Bucket: j.object.Bucket, Key: j.object.Key, VersionID: j.version, Want: j.want,
		Applied: j.n.lease.seq(), Customer: customer,
	}
	index := j.index
	for range 2 {
		if !j.bare {
			req.Offset, req.Length = index*cache.SliceSize, cache.SliceSize
		}
		resp, err := j.n.fetcher.Fetch(ctx, req)
		if err != nil {
			return nil, err
		}
		f := &filled{index: index, status: resp.Status}
		switch {
		case resp.Status == http.StatusOK || resp.Status == http.StatusPartialContent:
			err := j.accept(f, resp)
			if f.head != nil {
				f.head.Storable, f.head.Body, f.head.Inline = false, nil, false
			}
			return f, err
		case resp.Status == http.StatusRequestedRangeNotSatisfiable && index > 0:
			index = 0 // the object is shorter than the client thinks
		case resp.Status == http.StatusRequestedRangeNotSatisfiable:
			return nil, fmt.Errorf("%w: %d for the beginning", fetch.ErrBadAnswer, resp.Status)
		case resp.Status == http.StatusNotFound && j.want != "":
			return nil, fmt.Errorf("version %s: %w", j.want, errVersionGone)
		default:
			return nil, passOn(resp)
		}
	}
	return nil, fmt.Errorf("%w: %s has no beginning", fetch.ErrBadAnswer, j.name)
}

// sliceWithKey asks for a slice with the customer's key of the request, for it
// alone.
func (x *exchange) sliceWithKey(ctx context.Context, h *httpcache.Head, index int64) (*piece, error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	resp, err := x.n.fetcher.Fetch(ctx, sliceRequest(x.n, x.object, h, index, x.customer))
	if err == nil {
		err = checkSlice(resp, h, index)
	}
	x.n.countFill("slice", err)
	if err != nil {
		return nil, fmt.Errorf("slice %d: %w", index, err)
	}
	return &piece{bytes: resp.Body, depth: tally.Origin}, nil
}

// putOf is put for the object of head h. What the origin keeps encrypted is kept
// in memory only: on the node's disk it would be in clear.
func (n *Node) putOf(ctx context.Context, h *httpcache.Head, k cache.Key, v []byte) {
	top, ok := n.cfg.Cache.(cache.Topmost)
	if !ok || h.Fields.Get(encryptedField) == "" {
		n.put(ctx, k, v)
		return
	}
	if err := top.PutTopmost(ctx, k, v); err != nil {
		n.log.DebugContext(ctx, "cache put", "name", k.Name, "err", err)
	}
}

// forbidKeeping tells everybody else on the way not to keep what was answered for
// a key either.
func forbidKeeping(h http.Header) {
	h.Set("Cache-Control", "private, no-store")
	h.Del("Expires")
	for name := range h {
		if strings.HasPrefix(name, "Cdn-Cache-") || name == "Surrogate-Control" {
			h.Del(name)
		}
	}
}
