// Package sigv4 verifies and makes AWS Signature Version 4 as S3 uses it: in
// the Authorization header, in the query of a presigned URL, in a POST policy,
// and in aws-chunked bodies whose chunks and trailers are signed.
//
// The origin's S3 endpoint, the cache nodes and the metadata API share it. A
// Verifier asks for signing keys, never for secrets, so a cache node can verify
// with keys that were derived for it for one day, region and service.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"
)

// Values of X-Amz-Content-Sha256 other than a hexadecimal SHA-256.
const (
	UnsignedPayload          = "UNSIGNED-PAYLOAD"
	StreamingPayload         = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingPayloadTrailer  = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

	// EmptyPayload is the SHA-256 of no bytes.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

const (
	// DefaultRegion is accepted in every scope: tools use it when they are told
	// of no region.
	DefaultRegion = "us-east-1"
	// DefaultService is the service of scopes where none is configured.
	DefaultService = "s3"
	// MaxSkew is how far a request's date may be from the verifier's clock.
	MaxSkew = 15 * time.Minute
	// MaxExpires is the longest life of a presigned URL.
	MaxExpires = 7 * 24 * time.Hour

	algorithm   = "AWS4-HMAC-SHA256"
	asymmetric  = "AWS4-ECDSA-P256-SHA256" // SigV4A, which nothing here verifies
	terminator  = "aws4_request"
	timeFormat  = "20060102T150405Z"
	shortFormat = "20060102"
)

// Scope is what a signing key is good for.
type Scope struct {
	AccessKey string
	Date      string // 20060102, UTC
	Region    string
	Service   string
	// Token is the X-Amz-Security-Token that came along, not looked at. It is no
	// part of the scope, but of temporary credentials.
	Token string
}

// appendTo appends the credential scope, "date/region/service/aws4_request".
func (s Scope) appendTo(b []byte) []byte {
	b = append(append(b, s.Date...), '/')
	b = append(append(b, s.Region...), '/')
	b = append(append(b, s.Service...), '/')
	return append(b, terminator...)
}

// KeyFunc returns the signing key of a scope, as DeriveKey makes it. It returns
// an error that wraps ErrUnknownAccessKey where there is no such access key; any
// other error is the caller's own and passes through Verify.
type KeyFunc func(ctx context.Context, s Scope) (signingKey []byte, err error)

// DeriveKey derives from a secret key the signing key for one day (20060102),
// region and service.
func DeriveKey(secret, date, region, service string) []byte {
	key := hmacSHA256([]byte("AWS4"+secret), []byte(date))
	key = hmacSHA256(key, []byte(region))
	key = hmacSHA256(key, []byte(service))
	return hmacSHA256(key, []byte(terminator))
}

func hmacSHA256(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// Present reports whether r carries AWS credentials, in its header or its
// query. Those of a version that Verify refuses (SigV2, SigV4A) count too, so
// that such a request is refused rather than taken for an anonymous one.
// Credentials of other schemes, such as Bearer, do not.
func Present(r *http.Request) bool {
	if a := r.Header.Get("Authorization"); a != "" {
		scheme, _, _ := strings.Cut(strings.TrimLeft(a, " \t"), " ")
		if scheme == "AWS" || strings.HasPrefix(scheme, "AWS4-") {
			return true
		}
	}
	return r.URL.RawQuery != "" && queryAuth(r.URL.RawQuery) != authNone
}
