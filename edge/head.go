package edge

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"meridian/edge/fetch"
	"meridian/edge/httpcache"
	"meridian/internal/hop"
	"meridian/metadata"
)

// rulesOf are a bucket's rules in a tier.
func rulesOf(c metadata.CacheRules, tier string) httpcache.Rules {
	ttl := cmp.Or(c.EdgeTTL, metadata.DefaultEdgeTTL)
	if tier == metadata.TierRegional {
		ttl = cmp.Or(c.RegionalTTL, metadata.DefaultRegionalTTL)
	}
	return httpcache.Rules{
		TTL: time.Duration(ttl), NegativeTTL: time.Duration(cmp.Or(c.NegativeTTL, metadata.DefaultNegativeTTL)),
		StaleWhileRevalidate: time.Duration(c.StaleWhileRevalidate), StaleIfError: time.Duration(c.StaleIfError),
	}
}

// newHead makes a head of an answer with an object.
func newHead(resp *fetch.Response, rules httpcache.Rules) *httpcache.Head {
	h := &httpcache.Head{
		Status: http.StatusOK, Fields: storedFields(resp.Header), Size: resp.Size, VersionID: resp.Header.Get(hop.Version),
		Received: resp.Received, Age: httpcache.InitialAge(resp.Header, resp.Sent, resp.Received),
	}
	h.Freshness = httpcache.Judge(resp.Header, h.Status, h.Age, h.Received, rules)
	return h
}

// confirmed is old after a 304 for it.
func confirmed(old *httpcache.Head, resp *fetch.Response, rules httpcache.Rules) *httpcache.Head {
	h := *old
	h.Fields = old.Fields.Update(storedFields(resp.Header))
	h.Received, h.Age = resp.Received, httpcache.InitialAge(resp.Header, resp.Sent, resp.Received)
	h.Freshness = httpcache.Judge(h.Fields.Header(), h.Status, h.Age, h.Received, rules)
	h.Suspect, h.Ahead = false, false
	if len(resp.Header[hop.Access]) == 0 {
		h.Fields = httpcache.StoredFields(h.Fields.Header(), hop.Access)
	}
	if len(resp.Header["Cache-Status"]) == 0 {
		// What the next tier said of the first answer is not true of this one.
		h.Fields = httpcache.StoredFields(h.Fields.Header(), "Cache-Status")
	}
	return &h
}

// negativeHead remembers that there is no such object. Upstream's error document
// says nothing on how long that holds: the bucket's rules do.
func negativeHead(resp *fetch.Response, rules httpcache.Rules) *httpcache.Head {
	fields := http.Header{}
	for _, name := range []string{"X-Amz-Delete-Marker", "X-Amz-Version-Id", "Cache-Status"} {
		if v := resp.Header[name]; len(v) > 0 {
			fields[name] = v
		}
	}
	return &httpcache.Head{
		Status: resp.Status, Code: cmp.Or(resp.Code, "NoSuchKey"), Fields: httpcache.StoredFields(fields),
		Received: resp.Received,
		// By Age alone: a clock that is a few seconds off would outlast it.
		Age:       httpcache.InitialAge(http.Header{"Age": resp.Header["Age"]}, resp.Sent, resp.Received),
		Freshness: httpcache.Freshness{Lifetime: rules.NegativeTTL, Storable: true},
	}
}

// storedFields are those that are told to clients: without what a tier says of
// itself or to its peers, and what must not be shared.
func storedFields(h http.Header) httpcache.Fields {
	drop := []string{
		"Server", "Server-Timing", "Set-Cookie", "X-Amz-Request-Id", "X-Amz-Id-2", "Vary",
		"Access-Control-Allow-Origin", "Access-Control-Expose-Headers",
	}
	for name := range h {
		// Who may read it is kept, for this node and those that ask it.
		if strings.HasPrefix(name, "X-Meridian-") && name != hop.Access {
			drop = append(drop, name)
		}
	}
	return httpcache.StoredFields(h, drop...)
}

// firstSlice is the slice in which the range of a request begins, or 0 where
// that depends on a size that is not known (negative).
func firstSlice(r *http.Request, size, sliceSize int64) int64 {
	field := r.Header.Get("Range")
	if field == "" || size < 0 && strings.Contains(field, "=-") {
		return 0
	}
	if size < 0 {
		size = 1 << 62 // "bytes=N-" begins at N whatever the size
	}
	ranges, err := httpcache.ParseRange(field, size)
	if err != nil || len(ranges) == 0 {
		return 0
	}
	return ranges[0].Start / sliceSize
}
