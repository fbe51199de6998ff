package h1

import "bytes"

// kind is what the bytes at the beginning of a buffer are.
type kind uint8

const (
	// partial is the beginning of a request, as far as it goes.
	partial kind = iota
	// odd is what only net/http may judge: its end is not known.
	odd
	// whole is a request without a body, of which every field has a meaning that
	// the loop knows.
	whole
	// foreign is a request without a body, with fields that are not the loop's.
	foreign
)

// maxFields is how many fields a request may have that the loop looks at.
const maxFields = 64

// parse reads one request from the beginning of b, and returns its length. It
// knows one way to write things and calls all others odd: no bare CR or LF, no
// folded lines, no white space before a colon, nothing beyond printable ASCII, no
// body, no HTTP/1.0, one Host.
func parse(b []byte, r *Request) (kind, int) {
	line, at, k := cutLine(b, 0)
	if line == nil {
		return k, 0
	}
	if !parseRequestLine(line, r) {
		return odd, 0
	}
	result := whole
	for range maxFields {
		line, at, k = cutLine(b, at)
		switch {
		case line == nil:
			return k, 0
		case len(line) == 0:
			if r.Host == nil {
				return odd, 0
			}
			return result, at
		}
		switch k := parseField(line, r); k {
		case odd:
			return odd, 0
		case foreign:
			result = foreign
		default:
		}
	}
	return odd, 0
}

// parseNext is parse, but waits for more behind an answer until there are the four
// bytes without which net/http takes nothing for another request.
func parseNext(b []byte, r *Request, served bool) (kind, int) {
	k, n := parse(b, r)
	if k == odd && served && len(b) < 4 {
		k = partial
	}
	return k, n
}

// cutLine returns the line that begins at from, without its end, and where the
// next one begins; nil if it does not end, or not as it should.
func cutLine(b []byte, from int) (line []byte, next int, k kind) {
	i := bytes.IndexByte(b[from:], '\n')
	switch {
	case i < 0:
		return nil, 0, partial
	case i == 0 || b[from+i-1] != '\r':
		return nil, 0, odd
	}
	return b[from : from+i-1], from + i + 1, whole
}

const protocol = " HTTP/1.1"

func parseRequestLine(line []byte, r *Request) bool {
	switch {
	case bytes.HasPrefix(line, []byte("GET /")):
		r.Head, line = false, line[4:]
	case bytes.HasPrefix(line, []byte("HEAD /")):
		r.Head, line = true, line[5:]
	default:
		return false
	}
	target, ok := bytes.CutSuffix(line, []byte(protocol))
	if !ok {
		return false
	}
	for _, c := range target {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	r.Target = target
	return true
}

// parseField reads one field. Fields that change nothing about the answer of a
// cache to an unsigned request are known; those that may are foreign, as is every
// field that nobody here has thought of.
func parseField(line []byte, r *Request) kind {
	var lower [32]byte
	i := 0
	for ; i < len(line) && line[i] != ':'; i++ {
		c := line[i]
		if !isToken[c] {
			return odd
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if i < len(lower) {
			lower[i] = c
		}
	}
	if i == 0 || i == len(line) {
		return odd
	}
	value := line[i+1:]
	for _, c := range value {
		if c < ' ' && c != '\t' || c > '~' {
			return odd
		}
	}
	if i > len(lower) {
		return foreign
	}
	value = bytes.Trim(value, " \t")
	switch string(lower[:i]) {
	case "host":
		if r.Host != nil || len(value) == 0 || !isHost(value) {
			return odd
		}
		r.Host = value
	case "content-length", "transfer-encoding", "upgrade", "expect", "trailer", "te", "proxy-connection":
		return odd
	case "connection":
		if !bytes.EqualFold(value, []byte("keep-alive")) {
			return odd
		}
	case "user-agent":
		if r.Agent != nil {
			return foreign
		}
		r.Agent = value
	case "if-match":
		return once(&r.IfMatch, value)
	case "if-none-match":
		return once(&r.IfNoneMatch, value)
	case "if-modified-since":
		return once(&r.IfModifiedSince, value)
	case "if-unmodified-since":
		return once(&r.IfUnmodifiedSince, value)
	case "if-range":
		return once(&r.IfRange, value)
	case "range":
		return once(&r.Range, value)
	case "accept", "accept-encoding", "accept-language", "accept-charset", "referer", "cookie", "dnt", "sec-gpc", "save-data",
		"upgrade-insecure-requests", "priority", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user",
		"sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto",
		"x-forwarded-host", "x-forwarded-port", "x-real-ip", "keep-alive", "from", "origin":
	default:
		return foreign
	}
	return whole
}

// once notes the value of a field that must not come twice, nor be empty.
func once(field *[]byte, value []byte) kind {
	if *field != nil || len(value) == 0 {
		return foreign
	}
	*field = value
	return whole
}

func isHost(b []byte) bool {
	for _, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == ':' || c == '_') {
			return false
		}
	}
	return true
}

// isToken holds the bytes of a token (RFC 9110, section 5.6.2).
var isToken = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()
