package httpcache

import (
	"strconv"
	"strings"
	"time"
)

// Forward is why a request went to the next tier, in the words of RFC 9211,
// section 2.2.
type Forward string

// The reasons of RFC 9211.
const (
	ForwardBypass   Forward = "bypass"
	ForwardMethod   Forward = "method"
	ForwardURIMiss  Forward = "uri-miss"
	ForwardVaryMiss Forward = "vary-miss"
	ForwardMiss     Forward = "miss"
	ForwardRequest  Forward = "request"
	ForwardStale    Forward = "stale"
	ForwardPartial  Forward = "partial"
)

// Status is one cache's member of the Cache-Status field (RFC 9211).
type Status struct {
	Cache         string
	Hit           bool
	Forward       Forward
	ForwardStatus int
	// TTL is how many seconds the answer stays fresh, less than zero once it is
	// stale; told if HasTTL.
	TTL               int64
	HasTTL            bool
	Stored, Collapsed bool
	Key, Detail       string
}

// maxInteger is the largest integer of structured fields.
const maxInteger = 999_999_999_999_999

// AppendText appends the member as it goes on the wire.
func (s Status) AppendText(b []byte) []byte {
	b = appendTokenOrString(b, s.Cache)
	if s.Hit {
		b = append(b, "; hit"...)
	}
	if s.Forward != "" {
		b = appendTokenOrString(append(b, "; fwd="...), string(s.Forward))
	}
	if s.ForwardStatus != 0 {
		b = strconv.AppendInt(append(b, "; fwd-status="...), int64(s.ForwardStatus), 10)
	}
	if s.HasTTL {
		b = strconv.AppendInt(append(b, "; ttl="...), min(max(s.TTL, -maxInteger), maxInteger), 10)
	}
	if s.Stored {
		b = append(b, "; stored"...)
	}
	if s.Collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.Key != "" {
		b = appendString(append(b, "; key="...), s.Key)
	}
	if s.Detail != "" {
		b = appendTokenOrString(append(b, "; detail="...), s.Detail)
	}
	return b
}

// String is the member as it goes on the wire.
func (s Status) String() string { return string(s.AppendText(make([]byte, 0, 96))) }

// AppendStatus returns a Cache-Status field of one line: the members that came
// from upstream, as they came, and ours, which is nearer to the client.
func AppendStatus(upstream []string, own Status) string {
	b := make([]byte, 0, 160)
	for _, line := range upstream {
		if line = strings.Trim(line, " \t,"); line != "" {
			b = append(append(b, line...), ", "...)
		}
	}
	return string(own.AppendText(b))
}

// ParseStatus reads the lines of a Cache-Status field, origin side first.
// Parameters that are unknown or of the wrong type are ignored, as are members
// that name no cache; a field that is malformed is an error.
func ParseStatus(lines []string) ([]Status, error) {
	items, err := parseList(strings.Join(lines, ", "))
	if err != nil {
		return nil, err
	}
	members := make([]Status, 0, len(items))
	for _, it := range items {
		name, ok := text(it.value)
		if !ok {
			continue
		}
		s := Status{Cache: name}
		for _, p := range it.params {
			s.set(p)
		}
		members = append(members, s)
	}
	return members, nil
}

func (s *Status) set(p param) {
	switch v := p.value.(type) {
	case bool:
		switch p.key {
		case "hit":
			s.Hit = v
		case "stored":
			s.Stored = v
		case "collapsed":
			s.Collapsed = v
		}
	case int64:
		switch p.key {
		case "ttl":
			s.TTL, s.HasTTL = v, true
		case "fwd-status":
			if 0 < v && v <= 999 {
				s.ForwardStatus = int(v)
			}
		}
	default:
		word, ok := text(v)
		if !ok {
			return
		}
		switch p.key {
		case "fwd":
			s.Forward = Forward(word)
		case "key":
			s.Key = word
		case "detail":
			s.Detail = word
		}
	}
}

// text reads a token or string, which are as good as each other here.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case token:
		return string(v), true
	case string:
		return v, true
	}
	return "", false
}

func appendTokenOrString(b []byte, s string) []byte {
	if s == "" || s[0] != '*' && !('a' <= s[0] && s[0] <= 'z' || 'A' <= s[0] && s[0] <= 'Z') {
		return appendString(b, s)
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) && s[i] != ':' && s[i] != '/' {
			return appendString(b, s)
		}
	}
	return append(b, s...)
}

// appendString appends a quoted string. Strings of structured fields are ASCII;
// other bytes are told as in URLs.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c > 0x7e:
			const hex = "0123456789ABCDEF"
			b = append(b, '%', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// SetTTL tells how long the answer stays fresh, in whole seconds rounded down, so
// that what is stale by a fraction is not told as fresh.
func (s *Status) SetTTL(d time.Duration) {
	s.TTL, s.HasTTL = int64(d/time.Second), true
	if d%time.Second < 0 {
		s.TTL--
	}
}
