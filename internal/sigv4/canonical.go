package sigv4

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// unreserved reports whether c stands for itself in a canonical URI (RFC 3986,
// section 2.3).
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// appendEscaped appends s with every byte but the unreserved ones, and slashes
// where keepSlash is set, percent-encoded in upper case.
func appendEscaped(b []byte, s string, keepSlash bool) []byte {
	for i := range len(s) {
		b = appendEscapedByte(b, s[i], keepSlash)
	}
	return b
}

func appendEscapedByte(b []byte, c byte, keepSlash bool) []byte {
	if unreserved(c) || c == '/' && keepSlash {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

// appendReescaped decodes the percent-encoding of s, whoever's taste it is in,
// and appends it encoded as AWS does. A plus sign is a space where plusSpace is
// set. It reports whether the encoding was valid.
func appendReescaped(b []byte, s string, keepSlash, plusSpace bool) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '%':
			if i+2 >= len(s) {
				return b, false
			}
			hi, lo := fromHex(s[i+1]), fromHex(s[i+2])
			if hi < 0 || lo < 0 {
				return b, false
			}
			c = byte(hi<<4 | lo)
			i += 2
		case c == '+' && plusSpace:
			c = ' '
		}
		b = appendEscapedByte(b, c, keepSlash)
	}
	return b, true
}

func fromHex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendPath appends the canonical URI: the path as the client sent it, encoded
// once. Nothing is normalised: "//", "." and ".." are parts of S3 keys. The
// request line is asked first since handlers in front may have rewritten r.URL.
func appendPath(b []byte, r *http.Request) ([]byte, bool) {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return appendReescaped(b, path, true, false)
	}
	if r.URL.Path == "" {
		return append(b, '/'), true
	}
	return appendEscaped(b, r.URL.Path, true), true
}

// rawQuery is the query as the client sent it.
func rawQuery(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		_, query, _ := strings.Cut(r.RequestURI, "?")
		return query
	}
	return r.URL.RawQuery
}

// appendQuery appends the canonical query: each name and value encoded, sorted
// by encoded name and then encoded value, without the signature itself.
func appendQuery(b []byte, query string) ([]byte, bool) {
	if query == "" {
		return b, true
	}
	type pair struct{ start, eq, end int }
	var few [16]pair
	pairs := few[:0]
	buf := make([]byte, 0, len(query)+64)
	for rest := query; rest != ""; {
		var param string
		param, rest, _ = strings.Cut(rest, "&")
		if param == "" {
			continue
		}
		name, value, _ := strings.Cut(param, "=")
		p := pair{start: len(buf)}
		var ok bool
		if buf, ok = appendReescaped(buf, name, false, true); !ok {
			return b, false
		}
		p.eq = len(buf)
		buf = append(buf, '=')
		if buf, ok = appendReescaped(buf, value, false, true); !ok {
			return b, false
		}
		if string(buf[p.start:p.eq]) == "X-Amz-Signature" {
			buf = buf[:p.start]
			continue
		}
		p.end = len(buf)
		pairs = append(pairs, p)
	}
	slices.SortStableFunc(pairs, func(x, y pair) int {
		if c := bytes.Compare(buf[x.start:x.eq], buf[y.start:y.eq]); c != 0 {
			return c
		}
		return bytes.Compare(buf[x.eq:x.end], buf[y.eq:y.end])
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, buf[p.start:p.end]...)
	}
	return b, true
}

// appendHeader appends the line of one signed header, name in lower case:
// values joined by commas, outer spaces removed, inner ones collapsed.
func appendHeader(b []byte, r *http.Request, name string) []byte {
	b = append(append(b, name...), ':')
	switch name {
	case "host":
		b = appendTrimmed(b, hostOf(r))
		return append(b, '\n')
	case "transfer-encoding": // net/http takes it out of the header
		if len(r.TransferEncoding) > 0 {
			b = append(b, strings.Join(r.TransferEncoding, ",")...)
			return append(b, '\n')
		}
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		switch {
		case name == "content-length" && r.ContentLength >= 0:
			b = strconv.AppendInt(b, r.ContentLength, 10)
		case name == "expect": // consumed by proxies on the way
			b = append(b, "100-continue"...)
		}
	}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTrimmed(b, v)
	}
	return append(b, '\n')
}

// hostOf is the host that the request was sent to, with its port.
func hostOf(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}

// appendTrimmed appends v without outer spaces and with runs of inner ones
// collapsed to one.
func appendTrimmed(b []byte, v string) []byte {
	v = strings.Trim(v, " \t\r\n")
	for {
		i := strings.Index(v, "  ")
		if i < 0 {
			return append(b, v...)
		}
		b = append(b, v[:i+1]...)
		v = strings.TrimLeft(v[i:], " ")
	}
}
