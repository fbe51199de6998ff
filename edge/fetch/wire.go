package fetch

import (
	"bytes"
	"html"
	"io"
	"strconv"
	"strings"

	"meridian/edge/cache"
)

// parseContentRange reads "bytes first-last/size". A size that is unknown is
// refused: a slice must know where the object ends.
func parseContentRange(h string) (first, last, size int64, ok bool) {
	h, ok = strings.CutPrefix(h, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, total, ok := strings.Cut(h, "/")
	if !ok {
		return 0, 0, 0, false
	}
	a, b, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, false
	}
	var oks [3]bool
	first, oks[0] = parseSize(a)
	last, oks[1] = parseSize(b)
	size, oks[2] = parseSize(total)
	if oks != [3]bool{true, true, true} || first > last || last >= size {
		return 0, 0, 0, false
	}
	return first, last, size, true
}

// SliceOf returns the size of the whole of which a Content-Range says that the
// answer is the slice beginning at offset.
func SliceOf(contentRange string, offset int64) (size int64, ok bool) {
	first, last, size, ok := parseContentRange(contentRange)
	return size, ok && first == offset && last == min(offset+cache.SliceSize, size)-1
}

// parseSize reads digits only: no sign, no space.
func parseSize(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 10, 63)
	return int64(n), err == nil
}

// escapePath escapes every byte that S3 escapes in a canonical URI, so that
// what goes over the wire is what is signed.
func escapePath(p string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(p) + 16)
	for i := range len(p) {
		switch c := p[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// errorOf reads an S3 error document and returns its code and message, or "". It
// reads to the end of what is short, so that the connection can be used again.
func errorOf(r io.Reader) (code, message string) {
	doc, _ := io.ReadAll(io.LimitReader(r, 8<<10)) // what came may suffice
	return element(doc, "Code", 64), html.UnescapeString(element(doc, "Message", 1024))
}

// element is the text of the first element of this name, if it is no longer than
// most.
func element(doc []byte, name string, most int) string {
	_, rest, _ := bytes.Cut(doc, []byte("<"+name+">"))
	text, _, found := bytes.Cut(rest, []byte("</"+name+">"))
	if !found || len(text) > most {
		return ""
	}
	return string(text)
}
