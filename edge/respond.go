package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/internal/hop"
	"meridian/internal/signedurl"
	"meridian/metadata"
)

// answer answers an admitted GET or HEAD.
func (x *exchange) answer(ctx context.Context) error {
	f, err := x.find(ctx)
	switch {
	case err == nil:
		err = x.respond(ctx, f)
	case x.pending != nil && isRefusal(err):
		return errDenied() // why there is nothing to answer is for those who may read it
	}
	if !errors.Is(err, errVersionGone) || x.started {
		return err
	}
	if x.want != "" || x.customer != nil {
		return errNoSuchVersion()
	}
	// The head speaks of a version that was overwritten and freed: what it was
	// is forgotten, and asked for anew.
	x.n.dropHead(ctx, f.name)
	x.n.reasons.lost(f.name, overwritten, x.n.now())
	f = &found{name: f.name}
	if err := x.fill(ctx, f, httpcache.ForwardStale); err != nil {
		return err
	}
	return x.respond(ctx, f)
}

// respond answers from a head.
func (x *exchange) respond(ctx context.Context, f *found) error {
	if err := x.permitHead(f.head); err != nil {
		return err
	}
	x.sample.Result = f.result
	h := f.head
	if h.Status != http.StatusOK {
		return x.respondNegative(f)
	}
	x.used(f)
	x.sample.Class = metadata.ClassOf(metadata.MediaType(x.contentType(h), x.object.Key))
	status, useRange := httpcache.CheckConditions(x.r.Method, x.r.Header, h.Validators())
	if status != 0 {
		return x.respondCondition(f, status)
	}
	var ranges []httpcache.Range
	// S3, and we with it, gives all of an empty object rather than refuse.
	if field := x.r.Header["Range"]; len(field) == 1 && useRange && h.Size > 0 && x.r.Method == http.MethodGet {
		var err error
		if ranges, err = httpcache.ParseRange(field[0], h.Size); err != nil {
			x.describe(f, false)
			return errRange(h.Size)
		}
	}
	return x.respondBody(ctx, f, ranges)
}

func (x *exchange) respondNegative(f *found) error {
	x.describe(f, false)
	status, message := f.head.Status, "The specified key does not exist."
	switch f.head.Code {
	case "NoSuchVersion":
		message = "The specified version does not exist."
	case "NoSuchBucket":
		message = "The specified bucket does not exist"
	}
	return &apiError{status: status, code: f.head.Code, message: message}
}

func (x *exchange) respondCondition(f *found, status int) error {
	x.describe(f, true)
	if status == http.StatusPreconditionFailed {
		return &apiError{status: status, code: "PreconditionFailed", message: "At least one of the pre-conditions you specified did not hold"}
	}
	h := x.w.Header()
	h.Del("Content-Type") // of a body that is not sent
	h.Del("Content-Encoding")
	x.headerOut()
	x.w.WriteHeader(status)
	return nil
}

// describe sets the headers that tell of the object, if it may be described, and
// of how the answer was come by.
func (x *exchange) describe(f *found, object bool) {
	to := x.w.Header()
	if object {
		f.head.Fields.CopyTo(to)
		if !x.caller.node {
			to.Del(hop.Access)
		}
		if x.customer != nil {
			forbidKeeping(to)
		}
		to.Set("Accept-Ranges", "bytes")
	} else if f.head.Status != http.StatusOK {
		f.head.Fields.CopyTo(to) // no more than that it is missing
	}
	if object || f.head.Status != http.StatusOK {
		to.Set("Age", strconv.FormatInt(int64(f.head.CurrentAge(x.n.now())/time.Second), 10))
	}
	if x.caller.node && f.head.VersionID != "" {
		to.Set(hop.Version, f.head.VersionID)
	}
	to.Set("Cache-Status", httpcache.AppendStatus(f.head.Fields.Values("Cache-Status"), x.cacheStatus(f)))
	x.tell(to)
	x.debug(to)
}

// respondBody sends the body, or the ranges of it.
func (x *exchange) respondBody(ctx context.Context, f *found, ranges []httpcache.Range) error {
	h := f.head
	whole := len(ranges) == 0
	if whole {
		ranges = []httpcache.Range{{Start: 0, Length: h.Size}}
	}
	src := x.source(f, ranges...)
	ctx, stop := context.WithCancel(ctx)
	defer src.close()
	defer stop()
	// The first slice is had before the header is sent: what goes wrong until
	// then can still be answered with an error.
	if x.r.Method == http.MethodGet && h.Size > 0 {
		if err := src.hold(ctx, ranges[0].Start/cache.SliceSize); err != nil {
			return err
		}
	}
	x.describe(f, true)
	to := x.w.Header()
	x.override(to)
	var parts *httpcache.Multipart
	status, length := http.StatusOK, h.Size
	switch {
	case whole:
	case len(ranges) == 1:
		status, length = http.StatusPartialContent, ranges[0].Length
		to.Set("Content-Range", ranges[0].ContentRange(h.Size))
	default:
		parts = httpcache.NewMultipart(ranges, to.Get("Content-Type"), h.Size)
		status, length = http.StatusPartialContent, parts.Length
		to.Set("Content-Type", parts.ContentType())
	}
	to.Set("Content-Length", strconv.FormatInt(length, 10))
	if x.caller.node && len(ranges) == 1 {
		src.tellSum(to, ranges[0])
	}
	x.sample.View = x.isView(ranges)
	x.headerOut()
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	return x.send(ctx, src, ranges, parts)
}

func (x *exchange) send(ctx context.Context, src *source, ranges []httpcache.Range, parts *httpcache.Multipart) error {
	out := x.writer()
	for i, r := range ranges {
		if parts != nil {
			if err := out.write([]byte(parts.Headers[i]), false); err != nil {
				return err
			}
		}
		if err := src.write(ctx, out, r.Start, r.Length); err != nil {
			return err
		}
	}
	if parts != nil {
		if err := out.write([]byte(parts.End), false); err != nil {
			return err
		}
	}
	out.done()
	return nil
}

// isView reports whether the request counts as somebody looking at a photo or
// video from its beginning.
func (x *exchange) isView(ranges []httpcache.Range) bool {
	return x.n.cfg.Tier == metadata.TierEdge && !x.caller.node && x.r.Method == http.MethodGet &&
		x.sample.Class != metadata.ClassOther && ranges[0].Start == 0
}

// contentType is what the object is answered as.
func (x *exchange) contentType(h *httpcache.Head) string {
	if t := x.query.Get("response-content-type"); t != "" && x.caller.signed {
		return t
	}
	return h.Fields.Get("Content-Type")
}

// override applies the response-* parameters, in requests whose query is signed.
func (x *exchange) override(h http.Header) {
	if !x.caller.signed {
		return
	}
	for param, name := range signedurl.Overrides {
		if v := x.query.Get(param); v != "" {
			h.Set(name, v)
		}
	}
}

func errRange(size int64) *apiError {
	return &apiError{status: http.StatusRequestedRangeNotSatisfiable, code: "InvalidRange", message: "The requested range is not satisfiable",
		header: http.Header{"Content-Range": {httpcache.UnsatisfiedRange(size)}}}
}

func errNoSuchVersion() *apiError {
	return &apiError{status: http.StatusNotFound, code: "NoSuchVersion", message: "The specified version does not exist."}
}
