package httpcache

import (
	"net/http"
	"slices"
	"strings"
)

// RemoveHopByHop takes from h the fields that concern one connection only, and
// those that Connection names (RFC 9110, section 7.6.1).
func RemoveHopByHop(h http.Header) {
	for _, name := range FieldNames(h["Connection"]...) {
		delete(h, name)
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// WithoutNamed is h without the fields that Connection names. Whoever is asked next
// does not get them, so no answer may be told apart by them either: who sends
// "Connection: Accept-Language" would have others of that language get what is
// answered to none. It is h itself where there are none.
func WithoutNamed(h http.Header) http.Header {
	var out http.Header
	for _, name := range FieldNames(h["Connection"]...) {
		if _, sent := h[name]; !sent {
			continue
		}
		if out == nil {
			out = h.Clone()
		}
		delete(out, name)
	}
	if out == nil {
		return h
	}
	return out
}

// WholeFields are the fields that a cache in front of a web server keeps of an
// answer with all of a body: those of StoredFields, and Content-Range, which
// means nothing there, but is as good as any field that is not understood.
func WholeFields(h http.Header) Fields {
	fs := StoredFields(h)
	for _, v := range h["Content-Range"] {
		fs = append(fs, Field{"Content-Range", v})
	}
	slices.SortStableFunc(fs, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return fs
}

// TakeApart takes from the header of an answer what only who asked for it may have,
// and returns it: the fields that no-cache or private name (RFC 9111, sections
// 5.2.2.4 and 5.2.2.7), those of the answer that it confirms included, and those
// called so in also.
func TakeApart(h http.Header, confirms Fields, also ...string) http.Header {
	names := also
	for _, from := range []http.Header{h, confirms.Header()} {
		ds, _ := control(from)
		names = append(append(names, ds.Fields("no-cache")...), ds.Fields("private")...)
	}
	var own http.Header
	for _, name := range names {
		if values := h[name]; len(values) > 0 && !slices.Contains(hopByHop[:], name) {
			if own == nil {
				own = http.Header{}
			}
			own[name] = values
			delete(h, name)
		}
	}
	return own
}

// HasLifetime reports whether an answer says itself how long it stays fresh.
func HasLifetime(h http.Header) bool {
	ds, isTargeted := control(h)
	return ds.Has("s-maxage") || ds.Has("max-age") || !isTargeted && len(h["Expires"]) > 0
}

// StrongValidator returns what later requests for the rest of a body can prove
// with that it is still the same one, as If-Range wants it, or "" (RFC 9110,
// section 8.8.1). Of two, the entity tag counts.
func StrongValidator(h http.Header) string {
	if tag := h.Get("Etag"); tag != "" {
		if _, rest, ok := cutETag(tag); ok && rest == "" && !isWeak(tag) {
			return tag
		}
		return ""
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	// A date is strong once the second it names, and clocks that differ a
	// little, are past (section 8.8.2.2).
	if date, err := http.ParseTime(h.Get("Date")); err != nil || date.Sub(modified).Seconds() < 60 {
		return ""
	}
	return h.Get("Last-Modified")
}

// IsFailure reports whether an answer means that the origin fails, for which a
// stale one may stand in (RFC 5861, section 4).
func IsFailure(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
