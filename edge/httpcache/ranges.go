package httpcache

import (
	"cmp"
	"crypto/rand"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxRanges is how many ranges one request is given; one that asks for more gets
// the whole (RFC 9110, section 14.2, allows to ignore it).
const MaxRanges = 100

// ErrUnsatisfiable says that none of the ranges asked for lies in the body: 416.
var ErrUnsatisfiable = errors.New("no range asked for is satisfiable")

// Range is a piece of a body: Length bytes from Start on, one at least.
type Range struct{ Start, Length int64 }

// End is the offset after the last byte.
func (r Range) End() int64 { return r.Start + r.Length }

// ContentRange is the value of Content-Range for r out of size bytes.
func (r Range) ContentRange(size int64) string {
	b := append(make([]byte, 0, 48), "bytes "...)
	b = strconv.AppendInt(b, r.Start, 10)
	b = append(b, '-')
	b = strconv.AppendInt(b, r.End()-1, 10)
	b = append(b, '/')
	return string(strconv.AppendInt(b, size, 10))
}

// UnsatisfiedRange is the value of Content-Range in a 416.
func UnsatisfiedRange(size int64) string { return "bytes */" + strconv.FormatInt(size, 10) }

// ParseRange resolves a Range field against a body of size bytes. No ranges and
// no error: the field is to be ignored, because it is malformed, of another unit,
// or asks for more than MaxRanges.
//
// Ranges that overlap or touch are joined, at the place of the first of them, so
// that an answer is never longer than the body but for the headers of its parts.
func ParseRange(field string, size int64) ([]Range, error) {
	unit, set, ok := strings.Cut(field, "=")
	if !ok || !strings.EqualFold(trimSpace(unit), "bytes") {
		return nil, nil
	}
	var ranges []Range
	specs := 0
	for spec := range strings.SplitSeq(set, ",") {
		if spec = trimSpace(spec); spec == "" {
			continue // a list may have empty elements
		}
		if specs++; specs > MaxRanges {
			return nil, nil
		}
		r, ok := parseSpec(spec, size)
		if !ok {
			return nil, nil
		}
		if r.Length > 0 {
			ranges = append(ranges, r)
		}
	}
	if specs > 0 && len(ranges) == 0 {
		return nil, ErrUnsatisfiable
	}
	return join(ranges), nil
}

// parseSpec resolves "first-last", "first-" or "-suffix"; of no length if it
// selects nothing.
func parseSpec(spec string, size int64) (r Range, ok bool) {
	a, b, ok := strings.Cut(spec, "-")
	if !ok {
		return Range{}, false
	}
	if a == "" {
		n, ok := parsePosition(b)
		n = min(n, size)
		return Range{size - n, n}, ok
	}
	first, ok := parsePosition(a)
	if !ok {
		return Range{}, false
	}
	last := size - 1
	if b != "" {
		n, ok := parsePosition(b)
		if !ok || n < first {
			return Range{}, false
		}
		last = min(last, n)
	}
	if first > last {
		return Range{}, true
	}
	return Range{first, last - first + 1}, true
}

// parsePosition reads digits; a number beyond all sizes is as good as the
// largest there is.
func parsePosition(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		if n > (math.MaxInt64-9)/10 {
			n = math.MaxInt64 / 10 // stays where it is
			continue
		}
		n = n*10 + int64(s[i]-'0')
	}
	if n >= math.MaxInt64/10 {
		return math.MaxInt64, true
	}
	return n, true
}

// join joins ranges that overlap or touch, each group at the place of the one
// that was asked for first.
func join(ranges []Range) []Range {
	if len(ranges) < 2 {
		return ranges
	}
	type placed struct {
		Range
		place int
	}
	sorted := make([]placed, len(ranges))
	for i, r := range ranges {
		sorted[i] = placed{r, i}
	}
	slices.SortFunc(sorted, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.place, b.place))
	})
	groups := sorted[:1]
	for _, r := range sorted[1:] {
		last := &groups[len(groups)-1]
		if r.Start > last.End() {
			groups = append(groups, r)
			continue
		}
		last.Length = max(last.End(), r.End()) - last.Start
		last.place = min(last.place, r.place)
	}
	slices.SortFunc(groups, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	ranges = ranges[:0]
	for _, g := range groups {
		ranges = append(ranges, g.Range)
	}
	return ranges
}

// Multipart is the layout of a multipart/byteranges body (RFC 9110, section
// 14.6): for each range its header and then its bytes, and the end. Its length is
// known before any of it is sent.
type Multipart struct {
	Boundary string
	Headers  []string // one before each range
	End      string
	Length   int64 // of everything
}

// NewMultipart lays out ranges of a body of size bytes.
func NewMultipart(ranges []Range, contentType string, size int64) *Multipart {
	m := &Multipart{Boundary: rand.Text(), Headers: make([]string, 0, len(ranges))}
	before := "--"
	for _, r := range ranges {
		h := before + m.Boundary + "\r\n"
		if contentType != "" {
			h += "Content-Type: " + contentType + "\r\n"
		}
		h += "Content-Range: " + r.ContentRange(size) + "\r\n\r\n"
		m.Headers = append(m.Headers, h)
		m.Length += int64(len(h)) + r.Length
		before = "\r\n--"
	}
	m.End = before + m.Boundary + "--\r\n"
	m.Length += int64(len(m.End))
	return m
}

// ContentType is the Content-Type of the answer.
func (m *Multipart) ContentType() string { return "multipart/byteranges; boundary=" + m.Boundary }
