package httpcache

import (
	"net/http"
	"slices"
	"time"
)

// Rules are what the owner of a resource, a bucket or a pull zone, decided for
// answers that do not say it themselves, and what a cache must know besides an
// answer to judge it.
type Rules struct {
	// TTL is how long an answer stays fresh in this tier, from when this tier
	// got it, where the answer says nothing. NegativeTTL is that of 404 and 410.
	TTL, NegativeTTL time.Duration
	// StaleWhileRevalidate and StaleIfError hold where the answer says nothing.
	StaleWhileRevalidate, StaleIfError time.Duration
	// Heuristic allows to guess a lifetime from Last-Modified (RFC 9111,
	// section 4.2.2) where TTL is zero: for web servers, not for buckets.
	Heuristic bool
	// Authorized says that the request carried an Authorization field which
	// only the origin can judge. Requests that the node itself has judged, as
	// those to buckets, are not.
	Authorized bool
}

// Freshness is what a shared cache may do with an answer.
type Freshness struct {
	// Lifetime is how old the answer may get, counted as Age is.
	Lifetime time.Duration
	// StaleWhileRevalidate and StaleIfError are how much older it may get and
	// still be served while upstream is asked, or where no upstream answers
	// (RFC 5861).
	StaleWhileRevalidate, StaleIfError time.Duration
	// MustRevalidate forbids to serve it stale for whatever reason, be it a
	// failing upstream (RFC 9111, section 5.2.2.2).
	MustRevalidate bool
	// NoCache demands to ask upstream before each use, fresh or not.
	NoCache bool
	// Storable allows to keep it.
	Storable bool
}

// targeted are the fields that speak to caches like us before Cache-Control
// does: the first that is there and well-formed replaces it, Expires and Pragma.
var targeted = [...]struct {
	field string
	parse func(lines []string) (Directives, bool)
}{
	{"Cdn-Cache-Control", parseTargeted},
	{"Surrogate-Control", parseSurrogate},
}

// control returns the directives that hold for us, and whether they come from a
// targeted field.
func control(h http.Header) (ds Directives, isTargeted bool) {
	for _, t := range targeted {
		if lines := h[t.field]; len(lines) > 0 {
			if ds, ok := t.parse(lines); ok {
				return ds, true
			}
		}
	}
	return ParseCacheControl(h["Cache-Control"]), false
}

// Judge tells what may be done with an answer of this status and header, which
// was age old (see InitialAge) when it was received.
func Judge(h http.Header, status int, age time.Duration, received time.Time, rules Rules) Freshness {
	ds, isTargeted := control(h)
	f := Freshness{
		StaleWhileRevalidate: rules.StaleWhileRevalidate,
		StaleIfError:         rules.StaleIfError,
		NoCache:              ds.Unqualified("no-cache"),
		MustRevalidate:       ds.Has("must-revalidate") || ds.Has("proxy-revalidate"),
	}
	explicit := true
	switch lifetime, ok := explicitLifetime(h, ds, isTargeted, received); {
	case ok:
		f.Lifetime = lifetime
	default:
		explicit = false
		f.Lifetime = defaultLifetime(h, status, ds.Has("public"), age, received, rules)
	}
	if d, ok := ds.Seconds("stale-while-revalidate"); ok {
		f.StaleWhileRevalidate = d
	}
	if d, ok := ds.Seconds("stale-if-error"); ok {
		f.StaleIfError = d
	}
	// s-maxage has the meaning of proxy-revalidate, too (RFC 9111, section
	// 5.2.2.10); an answer that asks for staleness beside it means that.
	if ds.Has("s-maxage") && !ds.Has("stale-while-revalidate") && !ds.Has("stale-if-error") {
		f.MustRevalidate = true
	}
	if f.MustRevalidate || f.NoCache {
		f.StaleWhileRevalidate, f.StaleIfError = 0, 0
	}
	f.Storable = storable(ds, status, explicit, rules) && (f.Lifetime > 0 || canRevalidate(h) || f.NoCache)
	return f
}

// explicitLifetime is the lifetime that the answer itself gives: s-maxage,
// max-age, or Expires minus Date, in this order.
func explicitLifetime(h http.Header, ds Directives, isTargeted bool, received time.Time) (time.Duration, bool) {
	if d, ok := ds.Seconds("s-maxage"); ok {
		return d, true
	}
	if d, ok := ds.Seconds("max-age"); ok {
		return d, true
	}
	if isTargeted || len(h["Expires"]) == 0 {
		return 0, false
	}
	expires, ok := parseDate(h["Expires"][0])
	if !ok {
		return 0, true // "0" and all else that is no date: expired
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = received
	}
	return min(max(0, expires.Sub(date)), MaxDelta), true
}

// defaultLifetime is the lifetime of an answer that gives none. The owner's TTL
// counts from when this tier received it: the tier before had its own. public
// makes any status one to guess for (RFC 9111, section 4.2.2).
func defaultLifetime(h http.Header, status int, public bool, age time.Duration, received time.Time, rules Rules) time.Duration {
	switch {
	case (status == http.StatusNotFound || status == http.StatusGone) && (rules.NegativeTTL > 0 || !rules.Heuristic):
		return sum(age, rules.NegativeTTL)
	case !heuristicallyCacheable(status) && !(rules.Heuristic && public):
		return 0
	case rules.TTL > 0:
		return sum(age, rules.TTL)
	case rules.Heuristic:
		modified, err := http.ParseTime(h.Get("Last-Modified"))
		if err != nil {
			return 0
		}
		date, err := http.ParseTime(h.Get("Date"))
		if err != nil {
			date = received
		}
		// The tenth of its age that RFC 9111 names as typical, a day at most.
		return min(max(0, date.Sub(modified)/10), 24*time.Hour)
	}
	return 0
}

// sum adds to an age without overflow.
func sum(age, ttl time.Duration) time.Duration {
	if ttl <= 0 {
		return 0
	}
	return min(age, MaxDelta) + min(ttl, MaxDelta)
}

// storable is RFC 9111, section 3, for a shared cache that understands status.
func storable(ds Directives, status int, explicit bool, rules Rules) bool {
	switch {
	case status < 200, status == http.StatusPartialContent, status == http.StatusNotModified:
		return false // not an answer of its own; the caller combines it
	case ofOneRequest(status):
		return false
	case ds.Has("no-store") && !(ds.Has("must-understand") && understood(status)):
		return false
	case ds.Has("must-understand") && !understood(status):
		return false
	case ds.Unqualified("private"):
		return false
	case rules.Authorized && !ds.Has("public") && !ds.Has("s-maxage") && !ds.Has("must-revalidate"):
		return false // RFC 9111, section 3.5
	}
	return explicit || ds.Has("public") || heuristicallyCacheable(status)
}

// ofOneRequest are the statuses that speak of a condition, a range or other fields
// of one request, by which answers are not told apart: whoever asked so would have
// all others get it.
func ofOneRequest(status int) bool {
	return slices.Contains([]int{412, 416, 417, 431}, status)
}

// heuristicallyCacheable are the statuses of RFC 9110, section 15.1, that a cache
// may keep without being told how long, but for 206, which callers combine.
func heuristicallyCacheable(status int) bool {
	return slices.Contains([]int{200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}, status)
}

// understood are the statuses whose rules of caching we know.
func understood(status int) bool {
	return heuristicallyCacheable(status) || slices.Contains([]int{302, 303, 307, 400, 401, 403, 421, 451, 500, 502, 503, 504}, status)
}

// canRevalidate reports whether an answer that is stale at once is of any use.
func canRevalidate(h http.Header) bool {
	return h.Get("ETag") != "" || h.Get("Last-Modified") != ""
}

// InitialAge is how old an answer was when it was received: the corrected
// initial age of RFC 9111, section 4.2.3. An Age that is no number is ignored, of
// several the first one counts (section 5.1).
func InitialAge(h http.Header, sent, received time.Time) time.Duration {
	var age time.Duration
	if lines := h["Age"]; len(lines) > 0 {
		first, _ := cutMember(lines[0])
		age, _ = ParseDelta(trimSpace(first))
	}
	age += max(0, received.Sub(sent))
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		// A Date has no fractions; less than a second is not age.
		age = max(age, received.Sub(date).Truncate(time.Second))
	}
	return min(age, MaxDelta)
}
