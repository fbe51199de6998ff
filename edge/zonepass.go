package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/internal/hop"
	"meridian/metadata"
	"meridian/metadata/tally"
)

// pass hands a request on as it is, body and all, once: what is no GET, and HEAD
// where no answer to a GET is held that is fresh; why is told in Cache-Status.
func (v *visit) pass(ctx context.Context, why httpcache.Forward) error {
	v.sample.Result, v.sample.Depth = tally.Pass, tally.Origin
	a := v.baseAsk(v.r.Method)
	if left, limited := maxForwards(v.r); limited && left == 0 {
		return v.describeSelf()
	} else if limited {
		a.Set["Max-Forwards"] = []string{strconv.FormatUint(left-1, 10)}
	}
	if v.r.ContentLength != 0 {
		a.Body, a.Length = v.r.Body, v.r.ContentLength
	}
	var mu sync.Mutex // net/http may call late
	over := false
	a.Interim = func(status int, h http.Header) {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			v.writeInterim(interim{status, h.Clone()})
		}
	}
	// An answer to POST that is kept must not be older than what touches it.
	mark, _ := v.n.fills.begin(v.object, "")
	defer v.n.fills.end(mark)
	sent := v.n.now()
	resp, depth, err := v.ask(ctx, a)
	mu.Lock()
	over = true
	mu.Unlock()
	v.n.countFill("pull", err)
	if err != nil {
		return fmt.Errorf("pull %s/%s: %w: %w", v.object.Bucket, v.object.Key, fetch.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	v.sample.Depth = depth
	received := v.n.now()
	v.took += received.Sub(sent)
	own := ownFields(resp, nil)
	head := v.zoneHead(resp.Header, resp.StatusCode, resp.ContentLength, sent, received)
	representsTarget := v.answersGet(resp)
	switch v.r.Method {
	case http.MethodHead:
		v.updateByHead(ctx, mark, head)
	case http.MethodGet, http.MethodOptions:
	default:
		if resp.StatusCode >= 200 && resp.StatusCode < 400 {
			v.invalidateAfter(ctx, resp.Header)
		}
	}
	status := v.member()
	status.Forward, status.ForwardStatus = why, resp.StatusCode
	body := io.Reader(resp.Body)
	var copied bytes.Buffer
	if representsTarget && head.Storable && httpcache.HasLifetime(resp.Header) && head.Size <= httpcache.MaxInline {
		body = io.TeeReader(body, &limited{&copied})
	} else {
		representsTarget = false
	}
	f := &flight{body: io.NopCloser(body)}
	v.describeZone(head, status, &zoneBody{flight: f, own: own})
	if err := v.sendZone(ctx, resp.StatusCode, head, nil, &zoneBody{visit: v, head: head, flight: f}); err != nil {
		return err
	}
	if representsTarget && copied.Len() <= httpcache.MaxInline {
		head.Body, head.Inline, head.Size = copied.Bytes(), true, int64(copied.Len())
		again, _ := v.n.fills.begin(v.object, "")
		v.keep(ctx, again, head, v.r.Header)
		v.n.fills.end(again)
	}
	return nil
}

// maxForwards is how often an OPTIONS request may be handed on, where it says so
// (RFC 9110, section 7.6.2).
func maxForwards(r *http.Request) (left uint64, limited bool) {
	if r.Method != http.MethodOptions || r.Header.Get("Max-Forwards") == "" {
		return 0, false
	}
	left, err := strconv.ParseUint(r.Header.Get("Max-Forwards"), 10, 64)
	return left, err == nil
}

// describeSelf answers a request that is not to go any further.
func (v *visit) describeSelf() error {
	h := v.w.Header()
	h.Set("Allow", v.zone.Allow())
	if v.hopped {
		h.Set(hop.Zone, hop.ZoneAnswer)
	}
	return v.sendEmpty(http.StatusNoContent)
}

// limited keeps a little more than a small body, so that a larger one shows.
type limited struct{ to *bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	room := httpcache.MaxInline + 1 - l.to.Len()
	l.to.Write(b[:min(len(b), max(room, 0))])
	return len(b), nil
}

// answersGet reports whether an answer to POST is what a GET would get: it says
// so by a Content-Location that is the target (RFC 9110, section 9.3.3).
func (v *visit) answersGet(resp *http.Response) bool {
	location := resp.Header.Get("Content-Location")
	if v.r.Method != http.MethodPost || resp.StatusCode != http.StatusOK || location == "" {
		return false
	}
	t, ok := v.zone.SameOrigin(v.target, v.r.Host, location)
	return ok && t.Name() == v.target.Name()
}

// invalidateAfter forgets what an unsafe request may have changed: its target,
// and what Location and Content-Location name at the same origin.
func (v *visit) invalidateAfter(ctx context.Context, h http.Header) {
	targets := []pull.Target{v.target}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if ref := h.Get(name); ref != "" {
			if t, ok := v.zone.SameOrigin(v.target, v.r.Host, ref); ok {
				targets = append(targets, t)
			}
		}
	}
	v.n.invalidate(ctx, v.zone, targets)
	if v.hopped {
		return // the edge tells all others
	}
	told := v.forgetElsewhere(ctx, targets)
	for _, t := range targets { // at other nodes with the next push
		v.n.tally.Changed(metadata.ZoneTarget{Bucket: v.zone.bucket.Name, Target: t.Name(), Again: !told})
	}
}

// updateByHead brings what is held up to date by an answer to HEAD, or forgets it
// where that speaks of another body (RFC 9111, section 4.3.5).
func (v *visit) updateByHead(ctx context.Context, mark *fillMark, fresh *httpcache.Head) {
	held := v.lookup(ctx)
	old := held.head
	if old == nil || fresh.Status != http.StatusOK {
		return
	}
	same := func(name string) bool {
		value := fresh.Fields.Get(name)
		return value == "" || value == old.Fields.Get(name)
	}
	if !same("Etag") || !same("Last-Modified") || fresh.Size >= 0 && fresh.Size != old.Size || old.Status != fresh.Status {
		v.n.dropHead(ctx, held.name)
		v.n.reasons.lost(held.name, overwritten, v.n.now())
		return
	}
	if !fresh.Storable {
		return
	}
	head := *old
	head.Fields = old.Fields.Update(fresh.Fields)
	head.Received, head.Age, head.Freshness, head.Suspect = fresh.Received, fresh.Age, fresh.Freshness, false
	head.Run = v.n.run
	if v.variesAnew(&head); head.Storable {
		v.keep(ctx, mark, &head, v.r.Header)
	}
}
