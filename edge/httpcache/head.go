package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// MaxInline is how large a body may be, in bytes, to ride inside its head.
const MaxInline = 32 << 10

// Head is what a URL is now: the answer without its body, or with it where that
// is small, and how long it may be used. It is shared and never changes.
type Head struct {
	Status int
	// Code is the S3 error code of a negative answer.
	Code   string
	Fields Fields
	// Size is the length of the body.
	Size int64
	// Body is all of the body if Inline, which empty bodies may be, too.
	Body   []byte
	Inline bool
	// VersionID is the ULID of the version, under which its slices are kept.
	VersionID string
	// Vary names the request fields by which the URL varies (RFC 9111, section
	// 4.1), in canonical form and sorted; none for objects of a bucket.
	Vary []string

	// Received is when the answer came, and Age how old it was then.
	Received time.Time
	Age      time.Duration
	Freshness
	// Run tells which run of a node took the answer.
	Run int64
	// Suspect demands to ask upstream before the next use, once: a soft purge, or a head
	// that an earlier run of the node left on disk.
	Suspect bool
	// Ahead says that it was fetched before anybody asked for it, with its body.
	Ahead bool
}

// ETag is the entity tag, as sent.
func (h *Head) ETag() string { return h.Fields.Get("Etag") }

// Validators are what conditions are compared with.
func (h *Head) Validators() Validators {
	v := Validators{ETag: h.ETag()}
	if s := h.Fields.Get("Last-Modified"); s != "" {
		v.LastModified, _ = http.ParseTime(s)
	}
	if s := h.Fields.Get("Date"); s != "" {
		v.Date, _ = http.ParseTime(s)
	}
	return v
}

// CurrentAge is the age that RFC 9111, section 4.2.3, has an answer tell.
func (h *Head) CurrentAge(now time.Time) time.Duration {
	return h.Age + max(0, now.Sub(h.Received))
}

// clockError is how far a clock may be set back without harm.
const clockError = 10 * time.Second

// AgeUnknown reports whether the clock was set back since the answer came: how old
// it is nobody knows then, and its TTL would begin anew once the clock is where it
// was.
func (h *Head) AgeUnknown(now time.Time) bool { return h.Received.Sub(now) > clockError }

// TTL is how long the head stays fresh; less than zero when it is stale.
func (h *Head) TTL(now time.Time) time.Duration { return h.Lifetime - h.CurrentAge(now) }

// Decision is what may be done with a head.
type Decision uint8

// The decisions, the happiest first.
const (
	// Serve it: it is fresh.
	Serve Decision = iota
	// ServeStale serves it now and asks upstream behind the client's back
	// (stale-while-revalidate).
	ServeStale
	// RevalidateOrServe asks upstream first, and serves it all the same if
	// upstream fails to answer (stale-if-error).
	RevalidateOrServe
	// Revalidate asks upstream first, and passes its failure on.
	Revalidate
)

// String is the decision in words, for logs.
func (d Decision) String() string {
	return [...]string{"serve", "serve-stale", "revalidate-or-serve", "revalidate"}[min(d, Revalidate)]
}

// Decide tells what may be done with a head. trusted says that the node has heard
// of all changes: that it holds a lease. Without one every head is asked for
// again before it is served, though a failing upstream may still be stood in for.
func Decide(h *Head, now time.Time, trusted bool) Decision {
	ttl := h.TTL(now)
	if trusted && !h.NoCache && !h.Suspect && !h.AgeUnknown(now) {
		switch {
		case ttl > 0:
			return Serve
		case -ttl < h.StaleWhileRevalidate && !h.MustRevalidate && h.Status < 400:
			return ServeStale
		}
	}
	// A head that was purged softly is known to be wrong.
	if ttl > -h.StaleIfError && h.StaleIfError > 0 && !h.MustRevalidate && !h.NoCache && !h.Suspect && h.Status < 400 {
		return RevalidateOrServe
	}
	return Revalidate
}

// SurrogateKeys are the names under which the head can be purged: those of
// Surrogate-Key, parted by spaces, and of Cache-Tag, parted by commas.
func (h *Head) SurrogateKeys() []string {
	var keys []string
	for _, f := range h.Fields {
		switch f.Name {
		case "Surrogate-Key":
			keys = append(keys, strings.Fields(f.Value)...)
		case "Cache-Tag":
			for tag := range strings.SplitSeq(f.Value, ",") {
				if tag = trimSpace(tag); tag != "" {
					keys = append(keys, tag)
				}
			}
		}
	}
	return keys
}
