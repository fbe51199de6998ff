package httpcache

import (
	"math"
	"net/http"
	"strings"
	"time"
)

// MaxDelta is the longest time that a directive or Age can ask for: RFC 9111,
// section 1.2.2, has larger numbers read as this.
const MaxDelta = math.MaxInt32 * time.Second

// Directive is one member of a Cache-Control field.
type Directive struct {
	Name   string // lower case
	Value  string // without quotes
	HasArg bool
}

// Directives are the members of a Cache-Control field, in order.
type Directives []Directive

// ParseCacheControl reads the lines of a Cache-Control field, of requests and
// responses alike. It never fails: a member that makes no sense is as good as an
// unknown directive, which caches ignore (RFC 9111, section 5.2.3), and a quote
// that does not end takes the rest of its line along.
func ParseCacheControl(lines []string) Directives {
	var ds Directives
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			name, value, hasArg := strings.Cut(member, "=")
			name = strings.ToLower(trimSpace(name))
			if !isToken(name) {
				continue
			}
			ds = append(ds, Directive{Name: name, Value: unquote(trimSpace(value)), HasArg: hasArg})
		}
	}
	return ds
}

// Has reports whether a directive is there, with an argument or without.
func (ds Directives) Has(name string) bool {
	_, ok := ds.Get(name)
	return ok
}

// Get returns the first directive of a name: of several that contradict each
// other the first one counts (RFC 9111, section 4.2.1).
func (ds Directives) Get(name string) (Directive, bool) {
	for _, d := range ds {
		if d.Name == name {
			return d, true
		}
	}
	return Directive{}, false
}

// Seconds returns a directive's time. One whose argument is no number counts as
// zero: with freshness that cannot be read, an answer is stale (RFC 9111,
// section 4.2.1).
func (ds Directives) Seconds(name string) (d time.Duration, ok bool) {
	dir, ok := ds.Get(name)
	if !ok {
		return 0, false
	}
	d, _ = ParseDelta(dir.Value)
	return d, true
}

// Unqualified reports whether a directive that may name fields, no-cache or
// private, is there without naming any, and so speaks of the whole answer.
func (ds Directives) Unqualified(name string) bool {
	for _, d := range ds {
		if d.Name == name && len(FieldNames(d.Value)) == 0 {
			return true
		}
	}
	return false
}

// Fields are the field names, in canonical form, that a directive speaks of.
func (ds Directives) Fields(name string) []string {
	var names []string
	for _, d := range ds {
		if d.Name == name {
			names = append(names, FieldNames(d.Value)...)
		}
	}
	return names
}

// FieldNames are the field names, in canonical form, of comma-separated lists.
func FieldNames(lists ...string) []string {
	var names []string
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = trimSpace(name); isToken(name) {
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	return names
}

// ParseDelta reads a delta-seconds (RFC 9111, section 1.2.2): digits alone, cut
// to MaxDelta.
func ParseDelta(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > math.MaxInt32 {
			n = math.MaxInt32
		}
	}
	return time.Duration(n) * time.Second, true
}

// cutMember cuts a list at the first comma that is not inside quotes.
func cutMember(s string) (member, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote takes the quotes and escapes off a quoted-string; anything else stays.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// trimSpace takes off what RFC 9110 calls optional white space.
func trimSpace(s string) string { return strings.Trim(s, " \t") }

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
