package sigv4

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer signs requests.
type Signer struct {
	AccessKey string
	Secret    string
	Region    string // DefaultRegion if empty
	Service   string // DefaultService if empty
}

func (s Signer) scope(now time.Time) Scope {
	sc := Scope{AccessKey: s.AccessKey, Date: now.Format(shortFormat), Region: s.Region, Service: s.Service}
	if sc.Region == "" {
		sc.Region = DefaultRegion
	}
	if sc.Service == "" {
		sc.Service = DefaultService
	}
	return sc
}

// Sign sets Authorization, X-Amz-Date and X-Amz-Content-Sha256. The host, Range,
// Content-Type, Content-MD5 and all x-amz-* and x-meridian-* headers that r has
// are signed; set them before. payloadHash is UnsignedPayload, EmptyPayload or
// the hexadecimal SHA-256 of the body.
func (s Signer) Sign(r *http.Request, payloadHash string, now time.Time) {
	now = now.UTC()
	sc := s.scope(now)
	r.Header.Set("X-Amz-Date", now.Format(timeFormat))
	r.Header.Set("X-Amz-Content-Sha256", payloadHash)
	signed := signedHeaders(r)
	signature := s.signature(r, rawQuery(r), sc, signed, payloadHash, now)

	b := make([]byte, 0, 512)
	b = append(b, algorithm+" Credential="...)
	b = append(append(b, s.AccessKey...), '/')
	b = sc.appendTo(b)
	b = append(append(b, ", SignedHeaders="...), signed...)
	b = append(append(b, ", Signature="...), signature...)
	r.Header.Set("Authorization", string(b))
}

// Presign puts the signature into r.URL, good for expires (1 s to MaxExpires;
// fractions of a second are dropped). The body is not bound. The same headers as
// in Sign are signed, so whoever uses the URL must send them.
func (s Signer) Presign(r *http.Request, expires time.Duration, now time.Time) {
	now = now.UTC()
	sc := s.scope(now)
	signed := signedHeaders(r)
	credential := append([]byte(s.AccessKey), '/')
	b := []byte(rawQuery(r))
	for _, p := range [][2]string{
		{"X-Amz-Algorithm", algorithm},
		{"X-Amz-Credential", string(sc.appendTo(credential))},
		{"X-Amz-Date", now.Format(timeFormat)},
		{"X-Amz-Expires", strconv.FormatInt(int64(expires/time.Second), 10)},
		{"X-Amz-SignedHeaders", signed},
	} {
		if len(b) > 0 {
			b = append(b, '&')
		}
		b = append(append(b, p[0]...), '=')
		b = appendEscaped(b, p[1], false)
	}
	signature := s.signature(r, string(b), sc, signed, UnsignedPayload, now)
	b = append(append(b, "&X-Amz-Signature="...), signature...)
	r.URL.RawQuery = string(b)
	// The path goes out as it was signed: net/url leaves bytes as they are
	// that AWS encodes, and either is the same to a verifier.
	if r.RequestURI != "" {
		r.RequestURI = (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}).RequestURI()
	}
}

func (s Signer) signature(r *http.Request, query string, sc Scope, signed, payloadHash string, now time.Time) string {
	canonical, _ := appendCanonical(make([]byte, 0, 1024), r, query, signed, payloadHash)
	sts := appendStringToSign(make([]byte, 0, 256), now, sc, canonical)
	key := DeriveKey(s.Secret, sc.Date, sc.Region, sc.Service)
	return hex.EncodeToString(hmacSHA256(key, sts))
}

// signedHeaders lists the headers of r that are signed, as SignedHeaders wants
// them.
func signedHeaders(r *http.Request) string {
	names := []string{"host"}
	for name := range r.Header {
		name = strings.ToLower(name)
		switch {
		case strings.HasPrefix(name, "x-amz-"), strings.HasPrefix(name, "x-meridian-"),
			name == "range", name == "content-type", name == "content-md5":
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}
