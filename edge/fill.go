package edge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"meridian/edge/cache"
	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// filled is what a fill of a head brought. It is shared by all who waited for
// it, and never changes.
type filled struct {
	head *httpcache.Head
	// body is slice number index, which came along; nil if none did.
	index       int64
	body        []byte
	revalidated bool // upstream confirmed what was held
	stored      bool
	held        bool // nobody was asked: it was there after all
	status      int  // of the answer from upstream
	depth       tally.Depth
}

// run asks upstream and keeps what comes, unless an event or a purge has touched
// it meanwhile; see fills for the order. It runs once for all who want the head
// at the same time. Those who want another slice than the first of them get it
// next: were theirs another fill of the head, the slice that comes with one could
// be asked for a second time by those whom the other one told of the version.
func (j *job) run(ctx context.Context, asOf metadata.Seq) (*filled, error) {
	mark, heard := j.n.fills.begin(j.object, j.key())
	defer j.n.fills.end(mark)
	if heard.Compare(asOf) > 0 {
		asOf = heard
	}
	if j.again {
		if h := j.n.cachedHead(ctx, j.name); h != nil && httpcache.Decide(h, j.n.now(), j.n.lease.held()) == httpcache.Serve {
			return &filled{head: h, held: true}, nil
		}
	}
	f, err := j.ask(ctx, asOf)
	j.n.countFill("head", err)
	if err != nil {
		return nil, err
	}
	if f.head.Storable {
		j.keep(ctx, mark, f)
	} else {
		j.n.dropHead(ctx, j.name)
	}
	return f, nil
}

// ask asks until an answer comes that a head can be made of.
func (j *job) ask(ctx context.Context, asOf metadata.Seq) (*filled, error) {
	old, index, ranged := j.old, j.index, true
	for range 4 {
		req := fetch.Request{
			Head: j.bare, Bucket: j.object.Bucket, Key: j.object.Key, VersionID: j.version, Want: j.want, Applied: asOf, Ahead: j.ahead != onDemand,
		}
		if ranged && !j.bare {
			req.Offset, req.Length = index*cache.SliceSize, cache.SliceSize
		}
		if old != nil {
			req.IfNoneMatch = old.ETag()
		}
		resp, err := j.n.fetch(ctx, j.owner(), j.via, req)
		if err != nil {
			return nil, err
		}
		f := &filled{index: index, status: resp.Status, depth: depthOf(resp.Header)}
		switch resp.Status {
		case http.StatusOK, http.StatusPartialContent:
			return f, j.accept(f, resp)
		case http.StatusNotModified:
			// The same bytes may have been written again, as another version
			// with other headers: only that of the same version is confirmed.
			if old != nil && resp.Header.Get(hop.Version) == old.VersionID {
				f.head, f.revalidated = confirmed(old, resp, j.rules), true
				return f, nil
			}
			old = nil
		case http.StatusNotFound:
			if j.want != "" {
				return nil, fmt.Errorf("version %s: %w", j.want, errVersionGone)
			}
			f.head = negativeHead(resp, j.rules)
			return f, nil
		case http.StatusRequestedRangeNotSatisfiable:
			// The object is shorter than the client thinks, or empty; its head
			// is wanted all the same.
			if !ranged {
				return nil, fmt.Errorf("%w: %d without a range", fetch.ErrBadAnswer, resp.Status)
			}
			ranged, index = index > 0, 0
		default:
			return nil, passOn(resp)
		}
	}
	return nil, fmt.Errorf("%w: %s changes with every request", fetch.ErrBadAnswer, j.name)
}

// accept makes a head of a whole or partial answer.
func (j *job) accept(f *filled, resp *fetch.Response) error {
	version := resp.Header.Get(hop.Version)
	if version == "" || resp.Size < 0 {
		return fmt.Errorf("%w: no version or size", fetch.ErrBadAnswer)
	}
	if j.want != "" && version != j.want {
		return fmt.Errorf("version %s: %w", j.want, errVersionGone)
	}
	f.head = newHead(resp, j.rules)
	if j.bare {
		return nil
	}
	f.body = resp.Body
	if f.body != nil && int64(len(f.body)) != sliceLength(resp.Size, f.index) {
		return fmt.Errorf("%w: %d bytes of slice %d", fetch.ErrBadAnswer, len(f.body), f.index)
	}
	if resp.Size <= httpcache.MaxInline && f.index == 0 {
		f.head.Body, f.head.Inline = f.body, true
	}
	return nil
}

// keep puts the head, and the slice that came along, where the next request
// finds them.
func (j *job) keep(ctx context.Context, mark *fillMark, f *filled) {
	if f.body != nil && !f.head.Inline {
		j.n.keepEarly(ctx, j.ahead, cache.Key{Class: cache.Slice, Name: sliceName(j.object, f.head.VersionID, f.index)}, f.body,
			j.object, f.head, int64(len(f.body)))
	}
	f.head.Run = j.n.run
	f.head.Ahead = j.ahead == prefetched && f.head.Inline
	encoded, err := f.head.AppendBinary(nil)
	if err != nil {
		j.n.log.ErrorContext(ctx, "head that cannot be kept", "object", j.name, "err", err)
		j.n.dropHead(ctx, j.name)
		return
	}
	var crowded []string
	f.stored = j.n.fills.keep(mark, f.head.VersionID, func() {
		j.n.keepEarly(ctx, j.ahead, cache.Key{Class: cache.Head, Name: j.name}, encoded, j.object, f.head, int64(len(f.head.Body)))
		crowded = j.n.index.Add(j.object, j.name, f.head.SurrogateKeys())
	})
	for _, name := range crowded {
		j.n.dropHead(ctx, name)
		j.n.reasons.lost(name, evicted, j.n.now())
	}
	if !f.stored {
		j.n.reasons.lost(j.name, overwritten, j.n.now())
	}
}

func (n *Node) dropHead(ctx context.Context, name string) {
	if err := n.cfg.Cache.Delete(ctx, cache.Key{Class: cache.Head, Name: name}); err != nil {
		n.log.ErrorContext(ctx, "cache delete", "name", name, "err", err)
	}
}

// passOn makes an answer of what is neither the object nor its absence: that a
// version is a delete marker, say. It is not kept.
func passOn(resp *fetch.Response) error {
	e := &apiError{status: resp.Status, code: resp.Code, message: cmp.Or(resp.Message, http.StatusText(resp.Status)), header: http.Header{}}
	if e.code == "" {
		e.code = "UpstreamRefused"
	}
	for _, name := range []string{"Allow", "Last-Modified", "X-Amz-Delete-Marker", "X-Amz-Version-Id"} {
		if v := resp.Header[name]; len(v) > 0 {
			e.header[name] = v
		}
	}
	if resp.Status < 400 {
		return fmt.Errorf("%w: status %d", fetch.ErrBadAnswer, resp.Status)
	}
	return e
}
