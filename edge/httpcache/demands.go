package httpcache

import (
	"net/http"
	"time"
)

// Demands are what a request asks of a cache (RFC 9111, section 5.2.1). Caches
// need not obey; we do, in front of web servers.
type Demands struct {
	NoCache, NoStore, OnlyIfCached bool
	// MaxAge and MinFresh bound the answer; MaxAge is MaxDelta where the request
	// does not say.
	MaxAge, MinFresh time.Duration
	// MaxStale is how stale an answer may be.
	MaxStale time.Duration
}

// ParseDemands reads Cache-Control of a request, or Pragma where there is none
// (RFC 9111, section 5.4).
func ParseDemands(h http.Header) Demands {
	ds := ParseCacheControl(h["Cache-Control"])
	d := Demands{NoCache: ds.Has("no-cache"), NoStore: ds.Has("no-store"), OnlyIfCached: ds.Has("only-if-cached"), MaxAge: MaxDelta}
	if len(h["Cache-Control"]) == 0 {
		d.NoCache = ParseCacheControl(h["Pragma"]).Has("no-cache")
	}
	if v, ok := ds.Seconds("max-age"); ok {
		d.MaxAge = v
	}
	d.MinFresh, _ = ds.Seconds("min-fresh")
	if dir, ok := ds.Get("max-stale"); ok {
		d.MaxStale = MaxDelta // without a number: however stale
		if dir.HasArg {
			d.MaxStale, _ = ParseDelta(dir.Value)
		}
	}
	return d
}

// Decide is Decide for a request with demands.
func (d Demands) Decide(h *Head, now time.Time, trusted bool) Decision {
	decision := Decide(h, now, trusted)
	ttl := h.TTL(now)
	switch {
	case d.NoCache:
		return Revalidate
	case h.CurrentAge(now) > d.MaxAge || d.MinFresh > 0 && ttl < d.MinFresh:
		return max(decision, RevalidateOrServe)
	case decision != Serve && trusted && d.MaxStale > 0 && -ttl <= d.MaxStale && !h.MustRevalidate && !h.NoCache && !h.Suspect:
		return Serve
	}
	return decision
}
