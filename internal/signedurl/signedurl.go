// Package signedurl makes and verifies Meridian's own signed URLs, which let a
// browser read from a private bucket through any edge until a point in time:
//
//	/bucket/key?expires=<unix>&sig=<base64url HMAC-SHA256>
//	/bucket/dir/key?expires=<unix>&prefix=/bucket/dir/&sig=<...>
//
// The second form covers every key below the prefix with one signature, as a
// playlist and its segments need. The first form also covers the response-*
// parameters of S3 (response-content-type and so on), by which whoever signs
// decides under which headers the object is answered. The key is derived from the cluster secret,
// so that whoever has it can sign and every node can verify without asking.
package signedurl

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parameters of a signed URL.
const (
	paramExpires   = "expires"
	paramPrefix    = "prefix"
	paramSig       = "sig"
	paramVersionID = "versionId"
)

// Overrides are the parameters that replace headers of the answer, and those
// headers, as in S3.
var Overrides = map[string]string{
	"response-cache-control":       "Cache-Control",
	"response-content-disposition": "Content-Disposition",
	"response-content-encoding":    "Content-Encoding",
	"response-content-language":    "Content-Language",
	"response-content-type":        "Content-Type",
	"response-expires":             "Expires",
}

// The reasons to refuse a URL.
var (
	ErrMalformed = errors.New("signed URL is malformed")
	ErrSignature = errors.New("signature of the URL does not match")
	ErrExpired   = errors.New("signed URL has expired")
)

// Signer signs and verifies under one cluster secret. Its methods may run at
// once.
type Signer struct{ key []byte }

// New derives the URL-signing key from the cluster secret.
func New(clusterSecret string) *Signer {
	m := hmac.New(sha256.New, []byte(clusterSecret))
	m.Write([]byte("meridian signed URL v1"))
	return &Signer{key: m.Sum(nil)}
}

// Sign returns u, whose path is /bucket/key and whose query may hold a versionId
// and Overrides, with the parameters that allow reading it until expires.
func (s *Signer) Sign(u *url.URL, expires time.Time) *url.URL {
	at := strconv.FormatInt(expires.Unix(), 10)
	q := u.Query()
	q.Del(paramPrefix)
	q.Set(paramExpires, at)
	q.Set(paramSig, s.mac(exact(u.Path, at, q)...))
	return with(u, q)
}

// SignPrefix returns u with the parameters that allow reading every current
// object below prefix, which is /bucket/ or /bucket/dir/ with its slash.
func (s *Signer) SignPrefix(u *url.URL, prefix string, expires time.Time) (*url.URL, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	at := strconv.FormatInt(expires.Unix(), 10)
	q := u.Query()
	q.Set(paramExpires, at)
	q.Set(paramPrefix, prefix)
	q.Set(paramSig, s.mac("prefix", prefix, "", at))
	return with(u, q), nil
}

// exact are the fields that the first form covers.
func exact(path, at string, q url.Values) []string {
	fields := []string{"path", path, q.Get(paramVersionID), at}
	for _, name := range slices.Sorted(maps.Keys(Overrides)) {
		if q.Has(name) {
			fields = append(fields, name, q.Get(name))
		}
	}
	return fields
}

func with(u *url.URL, q url.Values) *url.URL {
	c := *u
	c.RawQuery = q.Encode()
	return &c
}

// Present reports whether a query claims to be a Meridian signed URL.
func Present(q url.Values) bool { return q.Has(paramSig) }

// Overriding reports whether the Overrides in a query that Verify accepts are
// covered by its signature: the second form does not speak of them.
func Overriding(q url.Values) bool { return Present(q) && !q.Has(paramPrefix) }

// Verify returns nil where q allows reading path (decoded, /bucket/key) at now.
func (s *Signer) Verify(path string, q url.Values, now time.Time) error {
	for p := range q {
		_, override := Overrides[p]
		if (override || p == paramExpires || p == paramPrefix || p == paramSig || p == paramVersionID) && len(q[p]) > 1 {
			return fmt.Errorf("%w: %s is given %d times", ErrMalformed, p, len(q[p]))
		}
	}
	at := q.Get(paramExpires)
	expires, err := strconv.ParseInt(at, 10, 64)
	if err != nil || expires <= 0 {
		return fmt.Errorf("%w: expires is not a Unix time", ErrMalformed)
	}
	fields := exact(path, at, q)
	if q.Has(paramPrefix) {
		covered := q.Get(paramPrefix)
		if err := checkPrefix(covered); err != nil {
			return err
		}
		// A version is named by the exact form only: a prefix speaks of what
		// is current below it. Dot segments never reach below anything here,
		// but might in a proxy in front of us.
		if q.Get(paramVersionID) != "" || !strings.HasPrefix(path, covered) || hasDotSegment(path) {
			return ErrSignature
		}
		fields = []string{"prefix", covered, "", at}
	}
	if !hmac.Equal([]byte(s.mac(fields...)), []byte(q.Get(paramSig))) {
		return ErrSignature
	}
	if now.Unix() >= expires {
		return ErrExpired
	}
	return nil
}

// mac signs the fields with their lengths, so that none can run into the next.
func (s *Signer) mac(fields ...string) string {
	m := hmac.New(sha256.New, s.key)
	for _, f := range fields {
		fmt.Fprintf(m, "%d:%s,", len(f), f)
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// checkPrefix wants a bucket and whole path segments: "/media/a" would also
// cover "/media/ab".
func checkPrefix(prefix string) error {
	if len(prefix) < 3 || prefix[0] != '/' || prefix[1] == '/' || !strings.HasSuffix(prefix, "/") || hasDotSegment(prefix) {
		return fmt.Errorf("%w: prefix is not of the form /bucket/dir/", ErrMalformed)
	}
	return nil
}

func hasDotSegment(path string) bool {
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}
