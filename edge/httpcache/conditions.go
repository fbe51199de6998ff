package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// Validators are what the conditions of a request are compared with: those of
// the current answer.
type Validators struct {
	ETag         string    // as sent, quotes and W/ included; "" if none
	LastModified time.Time // zero if none
	// Date is when the origin made the answer. Zero: not known.
	Date time.Time
}

// ValidatorsOf reads the validators from the header of an answer.
func ValidatorsOf(h http.Header) Validators {
	v := Validators{ETag: h.Get("ETag")}
	v.LastModified, _ = http.ParseTime(h.Get("Last-Modified"))
	v.Date, _ = http.ParseTime(h.Get("Date"))
	return v
}

// CheckConditions evaluates the preconditions of a request in the order of RFC
// 9110, section 13.2.2, given that there is a current answer and it is a success.
// status is 304, 412, or 0 to go on; useRange tells whether a Range field is to
// be obeyed then.
func CheckConditions(method string, req http.Header, current Validators) (status int, useRange bool) {
	safe := method == http.MethodGet || method == http.MethodHead
	if list := req["If-Match"]; len(list) > 0 {
		if !matchETag(list, current.ETag, true) {
			return http.StatusPreconditionFailed, false
		}
	} else if t, ok := fieldTime(req, "If-Unmodified-Since"); ok && !current.LastModified.IsZero() && current.LastModified.After(t) {
		return http.StatusPreconditionFailed, false
	}
	if list := req["If-None-Match"]; len(list) > 0 {
		if matchETag(list, current.ETag, false) {
			if safe {
				return http.StatusNotModified, false
			}
			return http.StatusPreconditionFailed, false
		}
	} else if t, ok := fieldTime(req, "If-Modified-Since"); ok && safe && !current.LastModified.IsZero() && !current.LastModified.After(t) {
		return http.StatusNotModified, false
	}
	return 0, method == http.MethodGet && len(req["Range"]) == 1 && ifRange(req, current)
}

// ConfirmedBy reports whether a 304 with this header can be about h: it names a
// validator of h or, where they have none in common, none at all (RFC 9111, section
// 4.3.4). Of two, the entity tag counts.
func (h *Head) ConfirmedBy(notModified http.Header) bool {
	if lines := notModified["Etag"]; len(lines) > 0 && h.ETag() != "" {
		return matchETag(lines, h.ETag(), false)
	}
	fresh, held := notModified.Get("Last-Modified"), h.Fields.Get("Last-Modified")
	return fresh == "" || held == "" || fresh == held
}

// ifRange evaluates If-Range: only a strong validator that is equal lets the
// Range through (RFC 9110, section 13.1.5).
func ifRange(req http.Header, current Validators) bool {
	lines := req["If-Range"]
	switch len(lines) {
	case 0:
		return true
	case 1:
	default:
		return false
	}
	cond := trimSpace(lines[0])
	if tag, rest, ok := cutETag(cond); ok {
		return trimSpace(rest) == "" && !isWeak(tag) && !isWeak(current.ETag) && tag == current.ETag
	}
	t, err := http.ParseTime(cond)
	if err != nil || !t.Equal(current.LastModified) {
		return false
	}
	// A date is strong if nothing can have changed within its second (section
	// 8.8.2.2).
	return current.Date.IsZero() || current.Date.Sub(current.LastModified) >= time.Second
}

// fieldTime reads a date. A field that is malformed or comes twice is ignored.
func fieldTime(h http.Header, name string) (time.Time, bool) {
	lines := h[name]
	if len(lines) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(lines[0])
	return t, err == nil
}

// matchETag looks for etag in the lines of If-Match or If-None-Match, by strong
// comparison or weak (RFC 9110, section 8.8.3.2). "*" matches whatever there is.
// Tags without quotes, which some clients of S3 send, count as strong ones. What
// comes after something malformed is ignored.
func matchETag(lines []string, etag string, strong bool) bool {
	if len(lines) == 1 && trimSpace(lines[0]) == "*" {
		return true
	}
	if etag == "" || strong && isWeak(etag) {
		return false
	}
	opaque := strings.TrimPrefix(etag, "W/")
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if line == "" {
				break
			}
			tag, rest, ok := cutETag(line)
			if !ok {
				if tag, rest, ok = cutBareTag(line); !ok {
					break
				}
			}
			if (!strong || !isWeak(tag)) && strings.TrimPrefix(tag, "W/") == opaque {
				return true
			}
			if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
				break
			}
			line = rest
		}
	}
	return false
}

func isWeak(etag string) bool { return strings.HasPrefix(etag, "W/") }

// cutETag cuts an entity-tag off the front of s. Commas and backslashes inside
// the quotes are part of it.
func cutETag(s string) (tag, rest string, ok bool) {
	start := 0
	if isWeak(s) {
		start = 2
	}
	if start >= len(s) || s[start] != '"' {
		return "", s, false
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i+1], s[i+1:], true
		case c < 0x21 && c != ' ' || c == 0x7f: // spaces are wrong, but sent
			return "", s, false
		}
	}
	return "", s, false
}

func cutBareTag(s string) (tag, rest string, ok bool) {
	end := strings.IndexByte(s, ',')
	if end < 0 {
		end = len(s)
	}
	bare := trimSpace(s[:end])
	if strings.ContainsAny(bare, "\"* \t") || strings.HasPrefix(bare, "W/") {
		return "", s, false
	}
	return `"` + bare + `"`, s[end:], true
}
