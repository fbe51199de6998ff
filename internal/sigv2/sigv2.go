// Package sigv2 verifies AWS Signature Version 2, as S3 had it before Version 4:
// in the Authorization header, in the query of a presigned URL, and in a POST
// policy. Old tools still sign so, and boto3 does for presigned URLs and forms
// where nobody tells it otherwise.
//
// It binds less than Version 4: neither the body nor query parameters other than
// those that name a subresource or change headers of the answer.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
package sigv2

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSkew is how far a request's date may be from the verifier's clock.
const MaxSkew = 15 * time.Minute

// The ways in which a request is refused.
var (
	// ErrMalformed: what is there could not have come from a signer.
	ErrMalformed = errors.New("malformed signature of version 2")
	ErrMismatch  = errors.New("signature does not match")
	ErrNoDate    = errors.New("missing or malformed date")
	ErrSkewed    = errors.New("request time too skewed")
	ErrExpired   = errors.New("request has expired")
)

// Claim is what a request says of its own signature.
type Claim struct {
	AccessKey string
	Presigned bool
	signature []byte
	expires   string // of a presigned URL: seconds since 1970, as it came
}

// Read finds the credentials of r; ok is false where it has none of version 2.
// It is ErrMalformed where they could not have come from a signer.
func Read(r *http.Request) (c Claim, ok bool, err error) {
	header := r.Header.Get("Authorization")
	q := r.URL.Query()
	switch {
	case strings.HasPrefix(header, "AWS "):
		var signature string
		c.AccessKey, signature, _ = cutLast(strings.TrimSpace(header[len("AWS "):]), ":")
		c.signature, err = decode(c.AccessKey, signature)
	case header == "" && q.Has("AWSAccessKeyId"):
		c.Presigned, c.AccessKey, c.expires = true, q.Get("AWSAccessKeyId"), q.Get("Expires")
		c.signature, err = decode(c.AccessKey, q.Get("Signature"))
		if _, bad := strconv.ParseInt(c.expires, 10, 64); bad != nil && err == nil {
			err = ErrMalformed
		}
	default:
		return Claim{}, false, nil
	}
	return c, true, err
}

// cutLast cuts s around the last sep: access keys may hold colons, signatures
// none.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}

func decode(accessKey, signature string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(signature)
	if accessKey == "" || err != nil || len(b) != sha1.Size {
		return nil, ErrMalformed
	}
	return b, nil
}

// Verify checks the date of r and its signature by secret. bucket is that of the
// Host where r is addressed virtual-host style, and empty otherwise. signed says
// which query parameters a signature covers.
func (c Claim) Verify(r *http.Request, secret, bucket string, signed func(param string) bool, now time.Time) error {
	date := r.Header.Get("Date")
	switch {
	case c.Presigned:
		date = c.expires
		seconds, err := strconv.ParseInt(c.expires, 10, 64)
		if err != nil {
			return ErrMalformed
		}
		if now.Unix() > seconds {
			return ErrExpired
		}
	default:
		if err := checkDate(r, now); err != nil {
			return err
		}
		if r.Header.Get("X-Amz-Date") != "" {
			date = "" // it is signed among the x-amz headers
		}
	}
	var b strings.Builder
	for _, line := range []string{r.Method, r.Header.Get("Content-Md5"), r.Header.Get("Content-Type"), date} {
		b.WriteString(line + "\n")
	}
	writeHeaders(&b, r.Header)
	path, query := sent(r)
	if bucket != "" {
		b.WriteString("/" + bucket)
	}
	params := signedParams(query, signed)
	if hmac.Equal(sum(secret, b.String()+path+params), c.signature) {
		return nil
	}
	// boto3 signs "/bucket/" where it asks for "/bucket", which means the same.
	if bucket == "" && strings.LastIndexByte(path, '/') == 0 && hmac.Equal(sum(secret, b.String()+path+"/"+params), c.signature) {
		return nil
	}
	return ErrMismatch
}

// VerifyPolicy checks the signature of a form's policy, in base64 as it came.
func VerifyPolicy(secret, policy, signature string) error {
	b, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || !hmac.Equal(sum(secret, policy), b) {
		return ErrMismatch
	}
	return nil
}

func sum(secret, text string) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// checkDate holds X-Amz-Date, else Date, against the clock.
func checkDate(r *http.Request, now time.Time) error {
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	t, err := http.ParseTime(date)
	for _, layout := range []string{time.RFC1123Z, "20060102T150405Z"} {
		if err != nil {
			t, err = time.Parse(layout, date)
		}
	}
	if err != nil {
		return ErrNoDate
	}
	if skew := now.Sub(t); skew > MaxSkew || skew < -MaxSkew {
		return ErrSkewed
	}
	return nil
}

// writeHeaders writes the x-amz headers: by name, several values as one, and a
// folded value unfolded.
func writeHeaders(b *strings.Builder, h http.Header) {
	var names []string
	for name := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b.WriteString(name + ":")
		for i, v := range h.Values(name) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
		}
		b.WriteByte('\n')
	}
}

// sent are the path and the query of r as they came.
func sent(r *http.Request) (path, query string) {
	path, query, _ = strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // of a client's request, or in absolute form
		path, query = r.URL.EscapedPath(), r.URL.RawQuery
	}
	if path == "" {
		path = "/"
	}
	return path, query
}

// signedParams are the parameters that are signed, decoded and in order, with the
// question mark before them.
func signedParams(query string, signed func(string) bool) string {
	var params []string
	for param := range strings.SplitSeq(query, "&") {
		name, value, hasValue := strings.Cut(param, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || !signed(name) {
			continue
		}
		if value, err = url.QueryUnescape(value); hasValue && err == nil && value != "" {
			name += "=" + value
		}
		params = append(params, name)
	}
	if len(params) == 0 {
		return ""
	}
	slices.Sort(params)
	return "?" + strings.Join(params, "&")
}
