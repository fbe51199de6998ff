package s3api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"meridian/metadata"
)

// span is the part of a body that is answered.
type span struct {
	off, n int64
	status int
	part   int // partNumber, if one was asked for
}

// parseRange reads a Range header against a body of the given size. ok is false
// where the header does not count: another unit, a list (S3 answers those with
// the whole object), nonsense, or the last bytes of nothing. The error is
// InvalidRange.
func parseRange(header string, size int64) (off, n int64, ok bool, err error) {
	spec, bytes := strings.CutPrefix(strings.TrimSpace(header), "bytes=")
	if !bytes || strings.Contains(spec, ",") {
		return 0, 0, false, nil
	}
	first, last, dash := strings.Cut(spec, "-")
	if !dash || first != "" && !digits(first) || last != "" && !digits(last) || first == "" && last == "" {
		return 0, 0, false, nil
	}
	unsatisfiable := refuse(errInvalidRange, "").with("RangeRequested", header).
		with("ActualObjectSize", strconv.FormatInt(size, 10))
	if first == "" {
		if n = clamp(last); n == 0 {
			return 0, 0, false, unsatisfiable
		}
		if size == 0 {
			return 0, 0, false, nil
		}
		n = min(n, size)
		return size - n, n, true, nil
	}
	off = clamp(first)
	end := size - 1
	if last != "" {
		if l := clamp(last); l < off {
			return 0, 0, false, nil // invalid by RFC 9110, section 14.1.2
		} else if l < end {
			end = l
		}
	}
	if off >= size {
		return 0, 0, false, unsatisfiable
	}
	return off, end - off + 1, true, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// clamp is the value of digits; what is too great for an offset stays beyond
// every object.
func clamp(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<62 - 1
	}
	return n
}

// span finds which part of v is asked for.
func (c *call) span(v *metadata.Version) (span, error) {
	whole := span{0, v.Size, http.StatusOK, 0}
	header := c.r.Header.Get("Range")
	if c.query.Has("partNumber") {
		if header != "" {
			return whole, refuse(errInvalidRequest, "Cannot specify both Range header and partNumber query parameter")
		}
		return c.partSpan(v)
	}
	if header == "" || !c.ifRange(v) {
		return whole, nil
	}
	off, n, ok, err := parseRange(header, v.Size)
	if err != nil || !ok {
		return whole, err
	}
	return span{off, n, http.StatusPartialContent, 0}, nil
}

// ifRange says whether Range counts: RFC 9110, section 13.1.5.
func (c *call) ifRange(v *metadata.Version) bool {
	cond := c.r.Header.Get("If-Range")
	switch {
	case cond == "":
		return true
	case strings.HasPrefix(cond, `"`):
		return cond == quote(v.ETag)
	}
	t, err := http.ParseTime(cond)
	return err == nil && v.Modified.UTC().Truncate(1e9).Equal(t)
}

// partSpan is the place of a part of a multipart object. Any other object is its
// own first part.
func (c *call) partSpan(v *metadata.Version) (span, error) {
	n, err := partNumber(c.query.Get("partNumber"))
	if err != nil {
		return span{}, err
	}
	if len(v.Parts) == 0 && n == 1 {
		return span{0, v.Size, http.StatusPartialContent, n}, nil
	}
	var off int64
	for i, p := range v.Parts {
		// Parts count from 1 in the finished object, whatever their numbers
		// were in the upload.
		if i+1 == n {
			return span{off, p.Size, http.StatusPartialContent, n}, nil
		}
		off += p.Size
	}
	return span{}, refuse(errInvalidPartNumber, "").
		with("ActualPartCount", strconv.Itoa(max(len(v.Parts), 1))).with("PartNumberRequested", strconv.Itoa(n))
}

func partNumber(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > MaxParts {
		return 0, badArgument("partNumber", s, "Part number must be an integer between 1 and 10000, inclusive.")
	}
	return n, nil
}

func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.off, s.off+s.n-1, size)
}
