package edge

import (
	"cmp"
	"context"
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"meridian/edge/cache"
	"meridian/edge/httpcache"
	"meridian/edge/pull"
	"meridian/edge/purge"
	"meridian/internal/hop"
	"meridian/metadata"
)

// varyMark is the Code of what stands at the primary key of a target whose
// answers vary: not an answer, but the names of the fields they vary by. The
// answers have keys of their own.
const varyMark = "vary"

// held is what the cache has for a request.
type held struct {
	name   string
	head   *httpcache.Head // nil: nothing
	varies bool            // there are others for the target
}

// why is the reason to ask the origin, in the words of RFC 9211.
func (h held) why() httpcache.Forward {
	switch {
	case h.head != nil:
		return httpcache.ForwardStale
	case h.varies:
		return httpcache.ForwardVaryMiss
	}
	return httpcache.ForwardURIMiss
}

// variantName is the cache key of one variant of a target.
func variantName(primary, variant string) string { return primary + "\n\n" + variant }

// primaryPart is the primary key in that of a variant, or in itself. Its last part,
// behind a NUL, is of a request line and has no line breaks.
func primaryPart(name string) string {
	last := strings.LastIndexByte(name, 0) + 1
	target, _, _ := strings.Cut(name[last:], "\n\n")
	return name[:last+len(target)]
}

// lookup finds the answer that fits the request (RFC 9111, section 4.1).
func (v *visit) lookup(ctx context.Context) held {
	h := held{name: v.primary, head: v.n.cachedHead(ctx, v.primary)}
	if h.head == nil || h.head.Code != varyMark {
		return h
	}
	names := h.head.Vary
	h = held{name: variantName(v.primary, httpcache.Variant(names, v.r.Header)), varies: true}
	if h.head = v.n.cachedHead(ctx, h.name); h.head != nil {
		return h
	}
	if variant := httpcache.LanguageVariant(names, v.r.Header, httpcache.PreferredLanguage(v.r.Header)); variant != "" {
		if head := v.n.cachedHead(ctx, variantName(v.primary, variant)); head != nil {
			h.name, h.head = variantName(v.primary, variant), head
		}
	}
	return h
}

// keep stores a head for all requests like the one with this header, unless a
// purge or an unsafe request has touched the target meanwhile. It reports whether
// it did.
func (v *visit) keep(ctx context.Context, mark *fillMark, head *httpcache.Head, request http.Header) bool {
	entries := map[string]*httpcache.Head{v.primary: head}
	if len(head.Vary) > 0 {
		entries[v.primary] = &httpcache.Head{Status: http.StatusOK, Code: varyMark, Vary: head.Vary, Inline: true, Received: head.Received, Run: head.Run}
		entries[variantName(v.primary, httpcache.Variant(head.Vary, request))] = head
		if alias := httpcache.LanguageVariant(head.Vary, request, httpcache.ContentLanguage(head.Fields.Header())); alias != "" {
			entries[variantName(v.primary, alias)] = head
		}
	}
	encoded := make(map[string][]byte, len(entries))
	for name, h := range entries {
		b, err := h.AppendBinary(nil)
		if err != nil {
			v.n.log.ErrorContext(ctx, "answer that cannot be kept", "object", name, "err", err)
			return false
		}
		encoded[name] = b
	}
	var crowded []string
	kept := v.n.fills.keep(mark, head.VersionID, func() {
		for name, b := range encoded {
			v.n.put(ctx, cache.Key{Class: cache.Head, Name: name}, b)
			crowded = append(crowded, v.n.index.Add(v.object, name, entries[name].SurrogateKeys())...)
		}
	})
	for _, name := range crowded {
		v.n.dropHead(ctx, name)
		v.n.reasons.lost(name, evicted, v.n.now())
	}
	return kept
}

// invalidate forgets all answers for targets, after an unsafe request succeeded
// (RFC 9111, section 4.4), and keeps running fills from bringing them back. A page may
// be held under thousands of queries: it is looked through once, whatever the number
// of targets.
func (n *Node) invalidate(ctx context.Context, z *zone, targets []pull.Target) {
	objects, primaries := map[purge.Object]struct{}{}, map[string]struct{}{}
	for _, t := range targets {
		objects[purge.Object{Bucket: z.bucket.Name, Key: t.Key}] = struct{}{}
		for _, p := range z.primaries(t) {
			primaries[p.name] = struct{}{}
		}
	}
	for o := range objects {
		n.fills.touch(o)
	}
	for _, name := range n.index.Select(purge.Target{Objects: slices.Collect(maps.Keys(objects))}) {
		if _, ok := primaries[primaryPart(name)]; ok {
			n.dropHead(ctx, name)
			n.reasons.lost(name, overwritten, n.now())
		}
	}
}

// zoneRules are the rules for answers to a request. What an origin does not say,
// it did not mean: nothing but a guess by Last-Modified makes such an answer
// fresh, unless the bucket has a TTL.
func (v *visit) zoneRules() httpcache.Rules {
	c := v.bucket.Cache
	ttl := c.EdgeTTL
	if v.n.cfg.Tier == metadata.TierRegional {
		ttl = cmp.Or(c.RegionalTTL, c.EdgeTTL) // Age tells edges what is left of it
	}
	negative := c.NegativeTTL
	if ttl > 0 {
		negative = cmp.Or(negative, metadata.DefaultNegativeTTL)
	}
	return httpcache.Rules{
		TTL: time.Duration(ttl), NegativeTTL: time.Duration(negative), Heuristic: true,
		StaleWhileRevalidate: time.Duration(c.StaleWhileRevalidate),
		StaleIfError:         time.Duration(cmp.Or(c.StaleIfError, metadata.DefaultPullStaleIfError)),
		Authorized:           !v.ours && len(v.r.Header["Authorization"]) > 0,
	}
}

// ownFields takes from the header of an answer what only the client may have that
// it was asked for. The cookie that comes with a 304 is that client's, too, unless
// the 304 itself says for how long all may have it: what it confirms was kept
// without.
func ownFields(resp *http.Response, confirms *httpcache.Head) http.Header {
	h := resp.Header
	also := httpcache.FieldNames(h.Values(hop.ZoneOwn)...)
	delete(h, hop.ZoneOwn)
	var confirmed httpcache.Fields
	if resp.StatusCode == http.StatusNotModified {
		if confirms != nil {
			confirmed = confirms.Fields
		}
		if !httpcache.HasLifetime(h) {
			also = append(also, "Set-Cookie")
		}
	}
	return httpcache.TakeApart(h, confirmed, also...)
}

// zoneHead makes a head of an origin's answer with a whole body of size bytes, or
// -1. The version is one of our own, and new each time, so that slices never mix
// and a purge reaches them.
func (v *visit) zoneHead(h http.Header, status int, size int64, sent, received time.Time) *httpcache.Head {
	if h.Get("Date") == "" {
		h.Set("Date", received.UTC().Format(http.TimeFormat))
	}
	head := &httpcache.Head{
		Status: status, Fields: httpcache.WholeFields(h), Size: size, VersionID: rand.Text(),
		Received: received, Age: httpcache.InitialAge(h, sent, received), Run: v.n.run,
	}
	var star bool
	head.Vary, star = httpcache.Vary(h)
	head.Freshness = httpcache.Judge(h, status, head.Age, received, v.zoneRules())
	// A cookie is for one client unless the origin itself says for how long all
	// may have it.
	cookie := len(h["Set-Cookie"]) > 0 && !httpcache.HasLifetime(h)
	if star || cookie || v.demands.NoStore {
		head.Storable = false
	}
	return head
}

// freshened is what is held after a 304 for it (RFC 9111, section 4.3.4).
func (v *visit) freshened(old *httpcache.Head, h http.Header, sent, received time.Time) *httpcache.Head {
	head := *old
	head.Fields = old.Fields.Update(httpcache.StoredFields(h))
	if h.Get("Date") == "" {
		h.Set("Date", received.UTC().Format(http.TimeFormat))
	}
	head.Received, head.Age = received, httpcache.InitialAge(h, sent, received)
	head.Freshness = httpcache.Judge(head.Fields.Header(), head.Status, head.Age, received, v.zoneRules())
	head.Suspect, head.Run = false, v.n.run
	if v.variesAnew(&head); v.demands.NoStore {
		head.Storable = false
	}
	return &head
}

// variesAnew has a head whose fields were brought up to date told apart by what its
// Vary says now.
func (v *visit) variesAnew(h *httpcache.Head) {
	var star bool
	if h.Vary, star = httpcache.Vary(h.Fields.Header()); star {
		h.Storable = false
	}
}

// usable reports whether others than who asked may be given an answer.
func usable(h *httpcache.Head, now time.Time) bool {
	return h.Storable && !h.NoCache && h.TTL(now) > 0
}

// sliceable reports whether missing pieces of a body can be asked for.
func sliceable(h *httpcache.Head) bool {
	return h.Status == http.StatusOK && h.Size > 0 && strings.EqualFold(h.Fields.Get("Accept-Ranges"), "bytes") &&
		httpcache.StrongValidator(h.Fields.Header()) != ""
}
