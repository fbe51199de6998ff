package httpcache

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrPath says that a path names no object.
var ErrPath = errors.New("path names no object")

// MaxKeyLength is how many bytes a key may have, as in S3.
const MaxKeyLength = 1024

// ParsePath reads the path of a URL as it came, /bucket/key, escapes and all. The
// bucket ends at the first slash that is written as one; the key is all the rest,
// byte by byte: nothing is normalised, so that "//", "." and ".." belong to it as
// they do in S3. Either must be valid UTF-8 without NUL, an escape must be two
// hexadecimal digits, and neither may be empty; a slash in a bucket is refused.
// What else makes a bucket's name valid is for the caller to know.
func ParsePath(escaped string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return "", "", ErrPath
	}
	rawBucket, rawKey, _ := strings.Cut(rest, "/")
	if bucket, err = unescape(rawBucket); err != nil {
		return "", "", err
	}
	if key, err = unescape(rawKey); err != nil {
		return "", "", err
	}
	if bucket == "" || key == "" || len(key) > MaxKeyLength || strings.Contains(bucket, "/") {
		return "", "", ErrPath
	}
	return bucket, key, nil
}

// unescape decodes percent-escapes and refuses what is no text.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') >= 0 {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b = append(b, s[i])
				continue
			}
			if i+2 >= len(s) {
				return "", ErrPath
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi > 15 || lo > 15 {
				return "", ErrPath
			}
			b = append(b, hi<<4|lo)
			i += 2
		}
		s = string(b)
	}
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return "", ErrPath
	}
	return s, nil
}

func unhex(c byte) byte {
	switch {
	case isDigit(c):
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// Name is what a cached value is the value of.
type Name struct {
	Bucket, Key string
	// VersionID is the version that the URL asks for; empty for the current one.
	VersionID string
	// Variant tells apart the answers of one URL that varies by request (RFC
	// 9111, section 4.1); empty where it does not.
	Variant string
}

// HeadKey is the cache key of a head: the parts with NULs between them, which no
// valid part contains. For parts that are not valid it is still unambiguous: no
// two Names share a key.
func (n Name) HeadKey() string {
	key := escapePart(n.Bucket, '/') + "/" + escapePart(n.Key, 0)
	if n.VersionID != "" || n.Variant != "" {
		key += "\x00" + escapePart(n.VersionID, 0)
	}
	if n.Variant != "" {
		key += "\x00" + escapePart(n.Variant, 0)
	}
	return key
}

// SliceKey is the cache key of a slice of a version, given by its ULID. What it
// names never changes.
func SliceKey(bucket, key, version string, index int64) string {
	return escapePart(bucket, '/') + "/" + escapePart(key, 0) + "\x00" + escapePart(version, 0) + "\x00" + strconv.FormatInt(index, 10)
}

// ParseSliceKey reads what SliceKey wrote.
func ParseSliceKey(s string) (bucket, key, version string, index int64, ok bool) {
	b, rest, _ := strings.Cut(s, "/")
	parts := strings.Split(rest, "\x00")
	if len(parts) != 3 {
		return "", "", "", 0, false
	}
	index, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return "", "", "", 0, false
	}
	bucket, key, version = unescapePart(b), unescapePart(parts[0]), unescapePart(parts[1])
	return bucket, key, version, index, SliceKey(bucket, key, version, index) == s
}

// ParseHeadKey reads what HeadKey wrote.
func ParseHeadKey(s string) (Name, bool) {
	bucket, rest, ok := strings.Cut(s, "/")
	if !ok {
		return Name{}, false
	}
	parts := strings.Split(rest, "\x00")
	if len(parts) > 3 {
		return Name{}, false
	}
	parts = append(parts, "", "")
	n := Name{unescapePart(bucket), unescapePart(parts[0]), unescapePart(parts[1]), unescapePart(parts[2])}
	return n, n.HeadKey() == s
}

// escapePart writes NUL, 0x01 and one more byte as two bytes each, which occurs
// in no valid part and costs valid ones nothing.
func escapePart(s string, also byte) string {
	if strings.IndexByte(s, 0) < 0 && strings.IndexByte(s, 1) < 0 && (also == 0 || strings.IndexByte(s, also) < 0) {
		return s
	}
	b := make([]byte, 0, len(s)+8)
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			b = append(b, 1, '0')
		case c == 1:
			b = append(b, 1, '1')
		case c == also:
			b = append(b, 1, '2')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

var unescaper = strings.NewReplacer("\x010", "\x00", "\x011", "\x01", "\x012", "/")

// unescapePart looks first whether there is anything to do: edges ask for
// thousands of names at a time, of which hardly any has an escape.
func unescapePart(s string) string {
	if strings.IndexByte(s, 1) < 0 {
		return s
	}
	return unescaper.Replace(s)
}
